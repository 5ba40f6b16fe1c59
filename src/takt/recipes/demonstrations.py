"""Episodes of the nut station in seed order, written as a dataset."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from takt.datasets.inspection import inspect
from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.writer import LeRobotWriter
from takt.embodiments.nut_station.spec import SPEC
from takt.processes import require_processes
from takt.recipes.attempts import Attempt, attempts
from takt.recipes.run_folder import claim
from takt.seeds import Split, require_split
from takt.simulation.nut_station.annotation import NUM_POINTS, POINTS_KEY
from takt.simulation.nut_station.demonstration import (
    PLAN_KEY,
    PLAN_TICKS,
    SEED_KEY,
    demonstrate,
)
from takt.types import TaktError


@dataclass(frozen=True, slots=True)
class Recorded:
    """Episodes in the dataset, and attempts of this run that failed and were skipped."""

    episodes: int
    failed: int


def record(
    root: Path,
    episodes: int,
    seed: int,
    workers: int,
    report: Callable[[int, int], None],
    attempt: Attempt = demonstrate,
    split: Split = "training",
) -> Recorded:
    """Grow the dataset at `root` to `episodes`, from `seed` or after the last one it holds.

    `report(done, seed)` follows each episode.

    Raises:
        TaktError: no episode or no worker is asked for, or the seeds are not of `split`; nothing
            is made then. Also what an attempt raised.
        DatasetError: the dataset there is damaged, or cannot be written; its finished episodes
            are safe.
    """
    if episodes < 1:
        raise TaktError(f"expected at least 1, got --episodes {episodes}; choose more")
    require_processes("--workers", workers)
    require_split(seed, episodes, split)
    failed = 0
    extras = {POINTS_KEY: 2 * NUM_POINTS, SEED_KEY: 1, PLAN_KEY: PLAN_TICKS * len(SPEC.slots)}
    with LeRobotWriter(root, SPEC, extras=extras) as writer:
        claim(root / "meta", {"recording": SPEC.name, "seed": seed})
        if writer.num_episodes:
            seed = _next_seed(root)
        if writer.num_episodes >= episodes:
            return Recorded(writer.num_episodes, failed)
        with closing(attempts(attempt, seed, workers)) as stream:
            for seed, episode in stream:
                require_split(seed, 1, split)
                if episode is None:
                    failed += 1
                    continue
                report(writer.add_episode(episode) + 1, seed)
                if writer.num_episodes >= episodes:
                    break
        return Recorded(writer.num_episodes, failed)


def _next_seed(root: Path) -> int:
    """The seed after the last episode's, if everything that was recorded is still there."""
    dataset = LeRobotDataset.open(root)
    if problems := inspect(dataset).problems:
        raise problems[0]
    return int(dataset.table(len(dataset) - 1).extras[SEED_KEY][0, 0]) + 1
