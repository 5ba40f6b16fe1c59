"""`takt shift`: work the nut station for a number of cycles and report how it went."""

import json
import sys
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from takt.extras import require_extra
from takt.runtime.latency import PAPER_LATENCY_MS
from takt.runtime.supervision import STANDARD, Supervision

if TYPE_CHECKING:
    from takt.benchmarks.cycle import CycleBody
    from takt.benchmarks.report import ShiftRun
    from takt.benchmarks.shift_config import ShiftConfig
    from takt.runtime.board import Board
    from takt.types import EmbodimentSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Work the nut station for some cycles; the same command resumes what was interrupted."""

    cycles: int = 10
    """Parts to work on; cycle i uses seed SEED + i."""
    mode: Literal["async", "naive", "sync"] = "async"
    """async: keep moving while the next plan is made, which goes on from there; naive: keep moving,
    but the next plan knows nothing of it; sync: hold still meanwhile."""
    seed: int = 1_000_000
    """Seed of the first cycle; a learned policy may only run on seeds of SPLIT."""
    split: Literal["evaluation", "validation"] = "evaluation"
    """evaluation: seeds from 1000000 on, for results; validation: 100000 to 999999, for choices."""
    out: Path = Path("out/shift")
    """Folder of the cycles, the resolved config and report.html."""
    clock: Literal["virtual", "wall"] = "virtual"
    """virtual: as fast as it goes with injected latency; wall: real time and true latency."""
    latency_ms: float = PAPER_LATENCY_MS
    """Latency that is injected (virtual) or planned for (wall)."""
    watchdog_ms: float = 1e3 * STANDARD.watchdog_s
    """On the wall clock the station is stopped if the loop is silent for so long."""
    priority: int = STANDARD.priority
    """Real-time priority of the loop on the wall clock, where the system permits; 0: none."""
    policy: str = "nano"
    """nano, expert, hold, or the folder of a checkpoint."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where a checkpoint runs."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of its weights and arithmetic."""
    quantise: Literal["int8", "int8-w8a8", "fp8", "fp8-w8a8"] | None = None
    """Its weights in 8 bits; w8a8: their inputs too."""
    grey: bool = False
    """Replace every image by mid grey: what a policy achieves without seeing."""
    beside: Path | None = None
    """Folder of another finished shift to compare with in the report."""
    board: bool = False
    """Serve a live page with cameras, chunks, delays and a stop button; its address is printed."""
    json: bool = False
    """Print one JSON object as the last line; the live table goes to stderr."""


def main(argv: list[str]) -> int:
    """Run or resume the shift, write the report, print the result."""
    import tyro

    config = tyro.cli(Config, args=argv, prog="takt shift")
    learned = config.policy not in ("hold", "expert")
    require_extra("sim,data,train" if learned else "sim,data", "takt shift")
    try:
        return _run(config)
    except KeyboardInterrupt:
        kept = len(list((config.out / "cycles").glob("*.msgpack")))
        print(
            f"takt shift: interrupted; {kept} of {config.cycles} cycles are kept in {config.out}. "
            "Run the same command again to go on.",
            file=sys.stderr,
        )
        return 130


def _run(config: Config) -> int:
    from rich.console import Console

    from takt.benchmarks.live_table import LiveTable
    from takt.benchmarks.player import Expert, Learned, player_named, take_seat
    from takt.benchmarks.report import ShiftRun
    from takt.benchmarks.shift import require_valid, resolve, run_shift
    from takt.benchmarks.store import ShiftStore
    from takt.embodiments.nut_station.spec import SPEC
    from takt.runtime.chunking import title
    from takt.simulation.nut_station.station import NutStation

    shift = _shift_config(config)
    supervision = Supervision(watchdog_s=config.watchdog_ms * 1e-3, priority=config.priority)
    player = player_named(shift)
    require_valid(shift, learned=isinstance(player, Learned))
    beside = _read_run(config.beside) if config.beside else None
    # The expert asks on every tick and never looks: rendering for it would triple its time.
    station = NutStation(cameras=() if isinstance(player, Expert) else SPEC.cameras)
    seat = take_seat(
        player, station, mode=config.mode, latency_ms=config.latency_ms, grey=config.grey
    )
    try:
        resolved = resolve(shift, seat, station.spec)
        what = (
            f"nut station · {config.policy} · {title(seat.chunking)} · {config.clock} clock at "
            f"{station.spec.rate_hz:g} Hz"
        )
        with (
            closing(ShiftStore(config.out, resolved)) as store,
            _board(config, what, station.spec) as board,
            LiveTable(config.cycles, what, Console(stderr=config.json)) as watcher,
        ):
            records = run_shift(shift, station, seat, store, watcher, board, supervision)
    finally:
        seat.worker.close()
    run = ShiftRun(resolved, records)
    report = _write_report(config, run, station, beside)
    _tell(config, run, beside, report)
    return 0


def _board(
    config: Config, title: str, spec: "EmbodimentSpec"
) -> "AbstractContextManager[Board | None]":
    from takt.runtime.board import Board

    if not config.board:
        return nullcontext()
    board = Board(title, spec)
    print(f"board: {board.url}", file=sys.stderr, flush=True)
    return board


def _tell(config: Config, run: "ShiftRun", beside: "ShiftRun | None", report: Path) -> None:
    from takt.benchmarks.report import compare

    found = run.summary.to_json()
    if beside is not None:
        shared, p = compare(run, beside)
        found["beside"] = {"seeds": shared, "mcnemar_p": p}
    if config.json:
        print(json.dumps(found))
        return
    _print_summary(run, report)
    if beside is not None:
        said = found["beside"]
        print(
            f"beside {config.beside}: McNemar's p {said['mcnemar_p']:.3f} on {said['seeds']} "
            "seeds in common"
        )


def _shift_config(config: Config) -> "ShiftConfig":
    from takt.benchmarks.shift_config import ShiftConfig

    return ShiftConfig(**{f.name: getattr(config, f.name) for f in fields(ShiftConfig)})


def _read_run(folder: Path) -> "ShiftRun":
    from takt.benchmarks.report import ShiftRun
    from takt.benchmarks.store import read_shift

    return ShiftRun(*read_shift(folder))


def _write_report(
    config: Config, run: "ShiftRun", body: "CycleBody", beside: "ShiftRun | None"
) -> Path:
    from takt.benchmarks.replay import replay
    from takt.benchmarks.report import build_report, pick_clips
    from takt.datasets.atomic import write_atomically

    clips = [replay(body, title, record) for title, record in pick_clips(run.records)]
    path = config.out / "report.html"
    write_atomically(path, build_report(run, clips, beside).encode())
    summary = json.dumps(run.summary.to_json(), indent=2)
    write_atomically(config.out / "summary.json", summary.encode())
    return path


def _print_summary(run: "ShiftRun", report: Path) -> None:
    summary, both = run.summary, run.summary.both
    print(
        f"both sides installed: {both.k}/{both.n} = {100 * both.rate:.1f} % "
        f"(95 % {100 * both.lo:.1f}-{100 * both.hi:.1f}); "
        f"cycle p50 {summary.cycle_s['p50']:.1f} s, p95 {summary.cycle_s['p95']:.1f} s; "
        f"stalls {summary.motion.stalls}; "
        f"idle {100 * summary.motion.idle_share:.1f} %; OEE {100 * summary.kpi.oee:.1f} %"
    )
    print(f"report: {report}")
