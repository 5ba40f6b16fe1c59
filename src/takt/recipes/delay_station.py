"""The delay benchmark at the nut station: a shift for each strategy and delay.

Every cell is a shift folder, resumable at every cycle, with a report of its own by `takt shift`.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from takt.benchmarks.checkpoint import read_chunking
from takt.benchmarks.cycle import CycleRecord
from takt.benchmarks.delay import Cell, CellKey
from takt.benchmarks.delay_strategies import Strategy
from takt.benchmarks.motion import Motion
from takt.benchmarks.player import Learned, chain, player_named, take_seat
from takt.benchmarks.shift import resolve, run_shift
from takt.benchmarks.shift_config import Mode, ShiftConfig
from takt.benchmarks.store import ShiftStore
from takt.embodiments.nut_station.spec import RATE_HZ, SPEC
from takt.seeds import EVALUATION_BEGIN
from takt.simulation.nut_station.station import NutStation
from takt.types import Seconds, TaktError

MODES: Mapping[Strategy, Mode] = {
    "synchronous": "sync",
    "naive": "naive",
    "training_time_rtc": "async",
    "lambda": "async",
}
"""What can be run there; a checkpoint's own contract says what its "async" is."""
LONGEST_DELAY = 6
"""Of the shipped policy: its T_e, and the longest prefix it was trained with."""
PREFIX_TIMES: Mapping[Strategy, str] = {"training_time_rtc": "one", "lambda": "chunk"}
"""Where clean actions stand in the contract that a strategy needs."""
CONTRACTS: Mapping[Strategy, str] = {
    "training_time_rtc": "training_time_rtc",
    "lambda": "xr0_posttrain",
}
"""That contract's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StationDelays:
    """What is run.

    Attributes:
        cells: Folder of the shifts.
        delays: Ticks.
        policy: Of every strategy but training-time RTC, as `takt shift` names it.
        rtc_policy: Checkpoint that was trained for training-time RTC; None leaves it out.
        cycles: Of each shift, on the same seeds.
    """

    cells: Path
    delays: Sequence[int]
    policy: str = "nano"
    rtc_policy: str | None = None
    cycles: int = 60

    def grid(self) -> list[CellKey]:
        """Every cell."""
        named: list[Strategy] = [
            name for name in MODES if name != "training_time_rtc" or self.rtc_policy
        ]
        return [
            CellKey(strategy=strategy, seed=0, delay=delay, jitter=False)
            for delay in self.delays
            for strategy in named
        ]


def evaluate(benchmark: StationDelays, log: Callable[[str], None]) -> Mapping[CellKey, Cell]:
    """Work what is left of the shifts; all of them.

    Raises:
        TaktError: the policy cannot be run at a delay, or a folder holds another shift.
    """
    for key in benchmark.grid():
        _require_runnable(_config(benchmark, key), key)
    cells: dict[CellKey, Cell] = {}
    for key in benchmark.grid():
        records = _work(benchmark, key)
        good = sum(record.good for record in records)
        log(f"d={key.delay} {key.strategy}: {good}/{len(records)}")
        cells[key] = _cell(records)
    return cells


def _require_runnable(config: ShiftConfig, key: CellKey) -> None:
    player = player_named(config)
    if not isinstance(player, Learned):
        raise TaktError(f"expected a checkpoint to compare strategies with, got {config.policy!r}")
    facts = read_chunking(player.checkpoint, SPEC.name)
    if facts.prefix_time != PREFIX_TIMES.get(key.strategy, facts.prefix_time):
        raise TaktError(
            f"expected a checkpoint trained for {key.strategy}, {config.policy} was not; train one "
            f"with takt train nut-station --contract {CONTRACTS[key.strategy]}"
        )
    chain(config.mode, facts, key.delay)


def _config(benchmark: StationDelays, key: CellKey) -> ShiftConfig:
    policy = benchmark.rtc_policy if key.strategy == "training_time_rtc" else benchmark.policy
    assert policy is not None
    return ShiftConfig(
        cycles=benchmark.cycles,
        mode=MODES[key.strategy],
        seed=EVALUATION_BEGIN,
        split="evaluation",
        clock="virtual",
        latency_ms=1e3 * key.delay / RATE_HZ,
        policy=policy,
        grey=False,
    )


def _work(benchmark: StationDelays, key: CellKey) -> list[CycleRecord]:
    config = _config(benchmark, key)
    station = NutStation()
    player = player_named(config)
    seat = take_seat(
        player, station, mode=config.mode, latency_ms=config.latency_ms, grey=config.grey
    )
    folder = benchmark.cells / f"{key.strategy}-d{key.delay}"
    try:
        with closing(ShiftStore(folder, resolve(config, seat, station.spec))) as store:
            return run_shift(config, station, seat, store, _Silent())
    finally:
        seat.worker.close()


def _cell(records: Sequence[CycleRecord]) -> Cell:
    return Cell(
        episodes=len(records),
        successes=sum(record.good for record in records),
        collisions=None,
        loops=None,
        on_target=None,
        motion=sum((record.motion for record in records), start=Motion()),
        reactions=(),
    )


class _Silent:
    """Watches a shift; the line of a cell says enough."""

    def cycle_begins(self, cycle: int) -> None:
        """Nothing."""

    def cycle_runs(self, cycle_s: Seconds) -> None:
        """Nothing."""

    def cycle_ended(self, record: CycleRecord) -> None:
        """Nothing."""
