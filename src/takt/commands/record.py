"""`takt record`: demonstrations as a LeRobot v3.0 dataset."""

import json
import sys
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

    def report(done: int, seed: int) -> None:
        if sys.stderr.isatty():
            print(f"\repisode {done}/{config.episodes} (seed {seed})", end="", file=sys.stderr)

    recorded = record(config.out, config.episodes, config.seed, config.workers, report)
    print(
        f"\n{recorded.episodes} episodes, {recorded.failed} attempts failed and skipped: "
        f"{config.out}"
    )
    if config.json:
        print(json.dumps({"episodes": recorded.episodes, "failed": recorded.failed}))
    return 0
