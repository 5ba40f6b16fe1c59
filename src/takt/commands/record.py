"""`takt record`: demonstrations as a LeRobot v3.0 dataset."""

import json
import sys
from dataclasses import dataclass
from functools import partial
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
    from takt.recipes.progress import Progress

    try:
        with Progress(sys.stderr) as progress:
            show = partial(progress.show, "episodes", config.episodes)
            show(0)
            recorded = record(
                config.out,
                config.episodes,
                config.seed,
                config.workers,
                lambda done, seed: show(done, f"(seed {seed})"),
            )
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
