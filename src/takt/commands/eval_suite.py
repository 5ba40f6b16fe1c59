"""`takt eval SUITE`: play a public benchmark by its published protocol, and report."""

import json as json_format
import os
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from takt import __version__
from takt.benchmarks.shift_config import Mode
from takt.processes import require_processes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from takt.benchmarks.suites.runner import Run
    from takt.benchmarks.suites.store import RunConfig
    from takt.benchmarks.suites.suite import Played, Suite
    from takt.commands.eval_player import Seated


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Of every suite."""

    player: str
    """expert, hold, random, replay:FOLDER (of an earlier run), a checkpoint's folder, or
    ws://HOST:PORT of `takt serve`."""
    mode: Mode = "sync"
    """How a policy's plans follow each other; the published protocols are synchronous."""
    latency_ms: float = 0.0
    """Inference latency that is injected; the published protocols have none."""
    grey: bool = False
    """Hide every image: what a policy achieves without seeing."""
    workers: int = 0
    """Simulators at once; 0 takes one a core."""
    out: Path | None = None
    """Folder of the trials and reports; by default out/eval/SUITE."""
    json: bool = False
    """Print one JSON object as the last line."""


def run_suite(suite: "Suite", options: Options) -> int:
    """Play what was not played yet, write the reports, print the result."""
    from takt.benchmarks.suites.environment import command_in
    from takt.benchmarks.suites.registry import body_of
    from takt.benchmarks.suites.runner import Run, play, probe
    from takt.benchmarks.suites.store import RunStore
    from takt.commands.eval_player import Manner, player_named

    workers = options.workers or os.cpu_count() or 1
    require_processes("--workers", workers)
    count = len(suite.trials())
    command = command_in(suite.name, "takt.benchmarks.suites.worker")
    manner = Manner(mode=options.mode, latency_ms=options.latency_ms, grey=options.grey)
    out = options.out or Path("out/eval") / suite.name
    with player_named(options.player, manner, body=body_of(suite), robots=workers) as seated:
        run = Run(suite=suite, player=seated.player, command=command, workers=workers)
        config = _config(run, seated, probe(run))
        for note in (config.label, *suite.notes):
            print(f"takt eval {suite.name}: {note}", file=sys.stderr)
        with RunStore(out, config) as store:
            played = play(run, store, _teller(count))
    return _tell(suite, config, played, out, options)


def _config(run: "Run", seated: "Seated", versions: "Mapping[str, str]") -> "RunConfig":
    from takt.benchmarks.store import folder_digest
    from takt.benchmarks.suites.registry import options_of
    from takt.benchmarks.suites.store import RunConfig

    return RunConfig(
        suite=run.suite.name,
        options=options_of(run.suite),
        label=run.suite.label,
        player=seated.title,
        player_digest=seated.digest,
        versions=versions,
        takt_version=__version__,
        code_digest=folder_digest(Path(str(files("takt"))), suffixes=(".py",)),
    )


def _teller(count: int) -> "Callable[[Played], None]":
    done = 0

    def tell(played: "Played") -> None:
        nonlocal done
        done += 1
        how = f"failed to play: {played.error}" if played.error else f"{played.steps} steps"
        print(
            f"  {done}/{count} {played.trial.key}: {played.stages} ({how})",
            file=sys.stderr,
            flush=True,
        )

    return tell


def _tell(
    suite: "Suite", config: "RunConfig", played: "list[Played]", out: Path, options: Options
) -> int:
    """The three reports, and the result for whoever asked."""
    from takt.benchmarks.suites.report import ReportHeader, build_report
    from takt.benchmarks.suites.summary import summarise
    from takt.datasets.atomic import write_atomically

    summary = summarise(config.label, suite.groups(), suite.longest_chain, played, config.versions)
    found = summary.to_json() | {"suite": config.suite, "player": config.player}
    header = ReportHeader(
        player=config.player,
        strategy=f"{options.mode}{', grey images' if options.grey else ''}",
        latency_ms=options.latency_ms,
        notes=tuple(suite.notes),
    )
    write_atomically(out / "result.json", json_format.dumps(found, indent=1).encode())
    write_atomically(out / "report.md", summary.to_markdown().encode())
    write_atomically(out / "report.html", build_report(header, summary).encode())
    if options.json:
        print(json_format.dumps(found))
    else:
        print(summary.to_markdown())
        print(f"report: {out / 'report.html'}")
    return 0
