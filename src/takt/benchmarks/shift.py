"""The station's shift: cycle after cycle with one policy, resumable at every cycle."""

from contextlib import nullcontext
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Protocol

import numpy as np

from takt import __version__
from takt.benchmarks.cycle import CycleBody, CycleRecord
from takt.benchmarks.motion import measure
from takt.benchmarks.player import Seat
from takt.benchmarks.shift_config import ClockName, ResolvedShift, ShiftConfig
from takt.benchmarks.store import ShiftStore, folder_digest
from takt.embodiments.nut_station.cycle import CYCLE_CUT_S
from takt.runtime.board import Board
from takt.runtime.chunking import Prefixed, title
from takt.runtime.clock import Clock, VirtualClock, WallClock
from takt.runtime.executor import Executor
from takt.runtime.latency import Injected, Latency, Measured
from takt.runtime.safety import Governor, step_limits
from takt.runtime.supervision import STANDARD, Supervision
from takt.runtime.trace import Trace
from takt.seeds import require_split
from takt.types import EmbodimentSpec, Seconds, TaktError


class ShiftWatcher(Protocol):
    """Is told how the shift goes."""

    def cycle_begins(self, cycle: int) -> None:
        """Called before each cycle that is run."""

    def cycle_runs(self, cycle_s: Seconds) -> None:
        """Called on every tick."""

    def cycle_ended(self, record: CycleRecord) -> None:
        """Called for each cycle, those found on disk included."""


def resolve(config: ShiftConfig, seat: Seat, spec: EmbodimentSpec) -> ResolvedShift:
    """Everything that determines the result, as it is written beside it."""
    return ResolvedShift(
        **{**asdict(config), "latency_ms": seat.latency_ms},
        takt_version=__version__,
        code_digest=folder_digest(Path(str(files("takt"))), suffixes=(".py", ".xml")),
        policy_digest=seat.digest,
        embodiment=spec.name,
        rate_hz=spec.rate_hz,
        chunking=title(seat.chunking),
        horizon=seat.horizon,
        delay_ticks=seat.delay,
    )


def require_valid(config: ShiftConfig, learned: bool) -> None:
    """Refuse a shift that would say nothing: no cycles, or a policy scored on seeds it saw."""
    if config.cycles < 1:
        raise TaktError(f"expected at least one cycle, got {config.cycles}; choose --cycles")
    if config.seed < 0:
        raise TaktError(f"expected a seed of at least 0, got {config.seed}; choose --seed")
    if learned:
        require_split(config.seed, config.cycles, config.split)


def run_shift(
    config: ShiftConfig,
    body: CycleBody,
    seat: Seat,
    store: ShiftStore,
    watcher: ShiftWatcher,
    board: Board | None = None,
    supervision: Supervision = STANDARD,
) -> list[CycleRecord]:
    """Run the cycles that `store` does not hold yet; returns all of them in order.

    On the wall clock each of them is guarded by `supervision`.

    Raises:
        KeyboardInterrupt: the stop button of `board` was pressed.
        WatchdogError: the loop was silent for too long.
    """
    records = []
    for cycle in range(config.cycles):
        record = store.load(cycle)
        if record is None:
            watcher.cycle_begins(cycle)
            record = run_cycle(config, cycle, body, seat, watcher, board, supervision)
            store.save(record)
        watcher.cycle_ended(record)
        records.append(record)
        if board is not None:
            good = sum(record.good for record in records)
            done = len(records)
            board.tell(
                {
                    "cycles": f"{done} of {config.cycles}",
                    "good parts": f"{good} of {done}",
                    "last cycle": f"{record.cycle_s:.1f} s",
                }
            )
    return records


def run_cycle(
    config: ShiftConfig,
    cycle: int,
    body: CycleBody,
    seat: Seat,
    watcher: ShiftWatcher,
    board: Board | None,
    supervision: Supervision,
) -> CycleRecord:
    """One cycle from a fresh part to its named outcomes."""
    seed = config.seed + cycle
    body.reset(seed)
    seat.worker.reset(seed)
    on_wall = config.clock == "wall"
    guard = supervision.of(body) if on_wall else nullcontext((body, "none"))

    def finished() -> bool:
        if board is not None and board.stop_requested:
            raise KeyboardInterrupt("the board's stop button")
        watcher.cycle_runs(body.cycle_s)
        return body.finished

    with guard as (guarded, _):
        clock, latency = _timing(config.clock, body.spec.dt, seat)
        executor = Executor(
            guarded,
            seat.worker,
            seat.chunking,
            clock=clock,
            latency=latency,
            governor=Governor(body.spec.action_space, step_limits(body.spec)),
            listeners=[] if board is None else [board],
        )
        trace = executor.run(finished)
    return _record(cycle, seed, body, trace, seat)


def _record(cycle: int, seed: int, body: CycleBody, trace: Trace, seat: Seat) -> CycleRecord:
    prefix = seat.chunking.prefix if isinstance(seat.chunking, Prefixed) else 0
    return CycleRecord(
        cycle=cycle,
        seed=seed,
        outcomes=dict(body.finish()),
        cycle_s=min(float(body.cycle_s), CYCLE_CUT_S),
        motion=measure(trace, body.spec, seat.delay, prefix),
        compute_ms=(trace.compute_s * 1e3).astype(np.float32),
        interventions=trace.interventions,
        actions=trace.actions,
        chunk=np.where(trace.held, -1, trace.chunk).astype(np.int32),
    )


def _timing(name: ClockName, dt: Seconds, seat: Seat) -> tuple[Clock, Latency]:
    match name:
        case "virtual":
            return VirtualClock(dt), Injected(seat.delay)
        case "wall":
            return WallClock(dt), Measured()
