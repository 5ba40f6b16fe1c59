"""`takt record`: demonstrations as a LeRobot v3.0 dataset."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from takt.extras import require_extra


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordConfig:
    """Record scripted demonstrations; an existing dataset is continued where it ended."""

    scene: Annotated[Literal["nut-station"], tyro.conf.Positional]
    """What to record."""
    episodes: int
    """Episodes that the dataset holds at the end."""
    out: Path
    """Dataset folder."""
    seed: int = 0
    """First seed; training seeds are below 100000."""
    workers: int = 2
    """Simulator processes."""
    json: bool = False
    """Print one JSON object as the last line."""


def main(argv: list[str]) -> int:
    """Record until the dataset holds `--episodes`."""
    config = tyro.cli(RecordConfig, args=argv, prog="takt record")
    require_extra("sim,data", "takt record")
    from takt.recipes.demonstrations import record

    try:
        with _progress(config.episodes) as report:
            recorded = record(config.out, config.episodes, config.seed, config.workers, report)
    except KeyboardInterrupt:
        kept = len(list((config.out / "meta" / "episodes").glob("*/*.parquet")))
        print(
            f"takt record: interrupted; {kept} of {config.episodes} episodes are kept in "
            f"{config.out}. Run the same command again to go on.",
            file=sys.stderr,
        )
        return 130
    print(
        f"{recorded.episodes} episodes, {recorded.failed} attempts failed and skipped: {config.out}"
    )
    if config.json:
        print(json.dumps({"episodes": recorded.episodes, "failed": recorded.failed}))
    return 0


@contextmanager
def _progress(episodes: int) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, else a line every ten episodes; both on stderr."""
    if not sys.stderr.isatty():

        def log(done: int, seed: int) -> None:
            if done % 10 == 0 or done == episodes:
                print(f"episode {done}/{episodes} (seed {seed})", file=sys.stderr, flush=True)

        yield log
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        bar = bars.add_task("episodes", total=episodes)
        yield lambda done, seed: bars.update(
            bar, completed=done, description=f"episodes (seed {seed})"
        )
