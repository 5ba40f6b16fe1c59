"""Episodes of the nut station in seed order, made by several processes, written as a dataset."""

import os
import signal
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.writer import LeRobotWriter
from takt.embodiments.nut_station.spec import SPEC
from takt.processes import die_with_parent
from takt.seeds import require_split
from takt.simulation.nut_station.annotation import NUM_POINTS, POINTS_KEY
from takt.simulation.nut_station.demonstration import (
    PLAN_KEY,
    PLAN_TICKS,
    SEED_KEY,
    demonstrate,
)
from takt.simulation.nut_station.station import NutStation
from takt.types import Episode

_station: NutStation | None = None  # one per worker process: it holds an OpenGL context


@dataclass(frozen=True, slots=True)
class Recorded:
    """Episodes in the dataset, and attempts of this run that failed and were skipped."""

    episodes: int
    failed: int


Attempt = Callable[[NutStation, int], Episode | None]
"""One seed's episode, or None where it teaches nothing; a module-level function or a partial."""


def record(
    root: Path,
    episodes: int,
    seed: int,
    workers: int,
    report: Callable[[int, int], None],
    attempt: Attempt = demonstrate,
) -> Recorded:
    """Grow the dataset at `root` to `episodes`, from `seed` or after the last one it holds.

    `report(done, seed)` follows each episode.
    """
    require_split(seed, episodes, "training")
    failed = 0
    extras = {POINTS_KEY: 2 * NUM_POINTS, SEED_KEY: 1, PLAN_KEY: PLAN_TICKS * len(SPEC.slots)}
    with LeRobotWriter(root, SPEC, extras=extras) as writer:
        if writer.num_episodes >= episodes:
            return Recorded(writer.num_episodes, failed)
        if writer.num_episodes:
            last = LeRobotDataset.open(root).table(writer.num_episodes - 1)
            seed = int(last.extras[SEED_KEY][0, 0]) + 1
        with closing(attempts(attempt, seed, workers)) as stream:
            for seed, episode in stream:
                require_split(seed, 1, "training")
                if episode is None:
                    failed += 1
                    continue
                report(writer.add_episode(episode) + 1, seed)
                if writer.num_episodes >= episodes:
                    break
        return Recorded(writer.num_episodes, failed)


def attempts(
    attempt: Attempt, first_seed: int, workers: int
) -> Generator[tuple[int, Episode | None], None, None]:
    """Yield (seed, episode) for `first_seed`, `first_seed` + 1, … without end.

    The order and content do not depend on `workers`.
    """
    spawn = get_context("spawn")  # a forked OpenGL context is broken
    with ProcessPoolExecutor(workers, spawn, _start_worker) as pool:
        ahead = 2 * workers
        pending = [pool.submit(_attempt, attempt, first_seed + k) for k in range(ahead)]
        seed = first_seed
        try:
            while True:
                yield seed, pending.pop(0).result()
                pending.append(pool.submit(_attempt, attempt, seed + ahead))
                seed += 1
        finally:
            pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent owns Ctrl-C
    os.environ["OMP_NUM_THREADS"] = "1"


def _attempt(attempt: Attempt, seed: int) -> Episode | None:
    global _station  # noqa: PLW0603
    if _station is None:
        _station = NutStation()
    return attempt(_station, seed)
