"""`takt bench`: what takt's runtime is measured by."""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from takt.extras import require_extra
from takt.types import TaktError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from takt.benchmarks.delay import Cell, CellKey
    from takt.benchmarks.delay_strategies import Strategy
    from takt.benchmarks.delay_summary import Row
    from takt.recipes.delay import DelayBenchmark

_HELP = """usage: takt bench delay [OPTIONS]: strategies of acting while thinking at injected delays
       takt bench setup SUITE [OPTIONS]: the environment of a public benchmark's simulator"""


DELAYS = "0,1,2,3,4,5,6,7,8"
EPISODES, STATION_CYCLES = 100, 60
QUICK_EPISODES = 48
QUICK_SEEDS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """Every way to act while thinking, at injected delays, on the virtual clock.

    Trains what is missing in --out first; killed, the same command goes on.
    """

    task: Literal["track", "nut-station"] = "track"
    """track: a pointer that follows a target round an obstacle, all strategies; nut-station:
    shifts of the shipped policy, synchronous, naive and with its own prefix."""
    delays: str = DELAYS
    """Ticks between an observation and its plan's arrival, 0 to 8."""
    seeds: int = 3
    """Training seeds of the tracking task."""
    strategies: str = "all"
    """Names separated by commas; ratios need naive beside them."""
    episodes: int | None = None
    """Of evaluation, the same for every strategy, seed and delay; by default 100, 48
    with --quick, 60 cycles of the nut station."""
    rtc_policy: str | None = None
    """Checkpoint for the nut station that was trained for training-time RTC; adds that strategy."""
    jitter: bool = False
    """Scatter delays by half; one in a hundred takes five times as long."""
    quick: bool = False
    """The networks that takt ships, one seed and few episodes: minutes instead of hours."""
    steps: int = 8000
    """Updates of every network."""
    workers: int = 0
    """Processes of one thread each; 0 takes one a core."""
    out: Path = Path("out/delay")
    """Folder of networks, cells and reports: one for each of --quick, --jitter and --task."""
    json: bool = False
    """Print one JSON object as the last line."""


def main(argv: list[str]) -> int:
    """Run `takt bench` with its own arguments."""
    import tyro

    if argv[:1] == ["setup"]:
        from takt.commands import bench_setup

        return bench_setup.main(argv[1:])
    if argv[:1] != ["delay"]:
        if argv[:1] in (["-h"], ["--help"]):
            print(_HELP)
            return 0
        got = " ".join(argv[:1]) or "nothing"
        print(f"takt bench: expected `delay` or `setup`, got {got}\n{_HELP}", file=sys.stderr)
        return 2
    command = tyro.cli(
        Delay, args=argv[1:], prog="takt bench delay", config=(tyro.conf.FlagCreatePairsOff,)
    )
    station = command.task == "nut-station"
    require_extra("train,sim,data" if station else "train", "takt bench delay")
    try:
        return _station(command) if station else _track(command)
    except KeyboardInterrupt:
        print(
            f"takt bench delay: interrupted; what is done is kept in {command.out}. Run the same "
            "command again to go on.",
            file=sys.stderr,
        )
        return 130


def _track(command: Delay) -> int:
    from takt.recipes.delay import evaluate

    if command.rtc_policy is not None:
        raise TaktError("--rtc-policy is of the nut station; give --task nut-station, or leave it")
    benchmark = _benchmark(command)
    if not command.quick:
        _train(command, benchmark)
    trained = len(benchmark.seeds)
    noun = "seed" if trained == 1 else "seeds"
    note = (
        f"{benchmark.episodes} episodes a cell, {trained} training {noun}"
        f"{', delays scattered by half with spikes' if command.jitter else ''}; success: long "
        "enough on the target on either side of the obstacle, which is never touched"
    )
    kind = [""] + ["quick"] * command.quick + ["jitter"] * command.jitter
    return _tell(command, evaluate(benchmark, _say), note, "-".join(kind))


def _station(command: Delay) -> int:
    from takt.recipes.delay_station import LONGEST_DELAY, StationDelays, evaluate

    usual = Delay(delays=command.delays, episodes=command.episodes, rtc_policy=command.rtc_policy)
    if replace(command, task=usual.task, out=usual.out, json=usual.json) != usual:
        raise TaktError(
            "the nut station takes --delays, --episodes, --rtc-policy, --out and --json; the other "
            "options are of the tracking task, leave them out"
        )
    benchmark = StationDelays(
        cells=command.out / "station",
        delays=_numbers("0,2,4,6" if command.delays == DELAYS else command.delays, LONGEST_DELAY),
        rtc_policy=command.rtc_policy,
        cycles=STATION_CYCLES if command.episodes is None else command.episodes,
    )
    note = f"{benchmark.cycles} cycles a cell; success: both nuts installed"
    return _tell(command, evaluate(benchmark, _say), note, "-station")


def _tell(command: Delay, cells: "Mapping[CellKey, Cell]", note: str, kind: str) -> int:
    from takt.benchmarks.delay_report import build_report
    from takt.benchmarks.delay_summary import summarise, to_json
    from takt.datasets.atomic import write_atomically

    rows = summarise(cells)
    found = to_json(rows)
    report = command.out / f"report{kind}.html"
    write_atomically(report, build_report(rows, note).encode())
    write_atomically(command.out / f"summary{kind}.json", json.dumps(found, indent=1).encode())
    if command.json:
        print(json.dumps(found))
    else:
        _print(rows)
        print(f"report: {report}")
    return 0


def _benchmark(command: Delay) -> "DelayBenchmark":
    from takt.benchmarks.delay_strategies import LONGEST_DELAY
    from takt.processes import require_processes
    from takt.recipes import delay
    from takt.recipes.run_folder import claim

    workers = command.workers or delay.default_workers()
    require_processes("--workers", workers)
    seeds = QUICK_SEEDS if command.quick else command.seeds
    usual = QUICK_EPISODES if command.quick else EPISODES
    episodes = usual if command.episodes is None else command.episodes
    if seeds < 1 or episodes < 1:
        raise TaktError(
            f"expected at least one training seed and episode, got --seeds {command.seeds} and "
            f"--episodes {episodes}"
        )
    made = delay.DelayBenchmark(
        networks=delay.shipped_networks() if command.quick else command.out / "networks",
        cells=command.out / ("quick" if command.quick else "cells"),
        seeds=range(seeds),
        delays=_numbers(command.delays, LONGEST_DELAY),
        strategies=_strategies(command.strategies),
        episodes=episodes,
        jitter=command.jitter,
        workers=workers,
    )
    if command.quick:
        delay.forget(made)
    else:
        claim(command.out, {"steps": command.steps, "episodes": episodes})
    return made


def _train(command: Delay, benchmark: "DelayBenchmark") -> None:
    from takt.recipes.delay import train
    from takt.training.track_networks import TrackTraining

    training = TrackTraining(steps=command.steps, head_steps=max(1, command.steps // 5))
    train(training, benchmark.networks, benchmark.seeds, benchmark.workers, _say)


def _numbers(text: str, largest: int) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and int(part) <= largest for part in parts):
        raise TaktError(f"--delays: expected ticks of 0..{largest} like 0,4, got {text!r}")
    return sorted({int(part) for part in parts})


def _strategies(text: str) -> "Sequence[Strategy]":
    from takt.benchmarks.delay_strategies import STRATEGIES

    if text == "all":
        return STRATEGIES
    names = [part.strip() for part in text.split(",")]
    if unknown := [name for name in names if name not in STRATEGIES]:
        raise TaktError(
            f"--strategies: expected some of {', '.join(STRATEGIES)}, got {', '.join(unknown)}"
        )
    return [name for name in STRATEGIES if name in names]


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _print(rows: "Sequence[Row]") -> None:
    for row in rows:
        rate = row.success
        reaction = "–" if row.reaction is None else f"{row.reaction:g}"
        print(
            f"d={row.delay} {row.strategy:<18} {rate.k}/{rate.n} = {100 * rate.rate:.0f} % "
            f"(95 % {100 * rate.lo:.0f}-{100 * rate.hi:.0f}), stalls {row.stalls}, seam/naive "
            f"{_ratio(row.seam_vs_naive)}, jerk/naive {_ratio(row.jerk_vs_naive)}, "
            f"reaction {reaction}{_by_seed(row.by_seed)}"
        )


def _by_seed(rates: "Sequence[float]") -> str:
    shown = " ".join(f"{100 * rate:.0f}" for rate in rates)
    return f", by seed {shown} %" if len(rates) > 1 else ""


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
