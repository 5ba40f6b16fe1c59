"""`takt record`: demonstrations as a LeRobot v3.0 dataset."""

import json
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from takt.commands.run_human import Device
from takt.extras import require_extra
from takt.types import TaktError


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordConfig:
    """Record demonstrations; an existing dataset is continued where it ended.

    The scripted expert of the nut station shows them, or with --teleop you do, on any body.
    """

    scene: Annotated[str, tyro.conf.Positional]
    """nut-station, or with --teleop any body that `takt run --body` takes."""
    episodes: int
    """Episodes that the dataset holds at the end."""
    out: Path
    """Dataset folder."""
    seed: int = 0
    """First seed; training seeds are below 100000."""
    workers: int = 2
    """Simulator processes."""
    teleop: Device | None = None
    """Drive the body yourself; every episode is judged by you (keys g and x, start and back)."""
    seconds: float = 60.0
    """Longest episode with --teleop."""
    json: bool = False
    """Print one JSON object as the last line."""


def _by_hand(config: RecordConfig, device: Device) -> int:
    """As `takt run` of a policy that holds still, in the human's hands from the first tick."""
    require_extra("data", "takt record --teleop")
    from takt.commands.run import drive
    from takt.commands.run_options import Config
    from takt.runtime.spooled_episodes import written_episodes

    left = config.episodes - written_episodes(config.out)
    if left <= 0:
        print(f"{config.out} holds {config.episodes - left} episodes already")
        return 0
    return drive(
        Config(
            body=config.scene,
            policy="hold",
            seconds=config.seconds,
            episodes=left,
            seed=config.seed,
            record=config.out,
            operator=device,
            authority="takeover",
            json=config.json,
        )
    )


def main(argv: list[str]) -> int:
    """Record until the dataset holds `--episodes`."""
    config = tyro.cli(RecordConfig, args=argv, prog="takt record")
    if config.teleop is not None:
        return _by_hand(config, config.teleop)
    if config.scene != "nut-station":
        raise TaktError(
            f"expected nut-station, which has a scripted expert, got {config.scene}; drive another "
            "body yourself with --teleop keyboard"
        )
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
