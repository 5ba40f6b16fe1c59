"""Trials of suites without a list of beginnings: each draws its own from its seed."""

from collections.abc import Sequence

import numpy as np

from takt.benchmarks.suites.suite import Trial
from takt.seeds import EVALUATION_BEGIN


def draw_trials(task: str, number: int, *, episodes: int, seed: int) -> Sequence[Trial]:
    """The trials of `task`, the suite's `number`-th, whatever else is played; fewer begin more.

    Their seeds are none that demonstrations are made with (`takt.seeds`).
    """
    return [_draw(task, (seed, number, index)) for index in range(episodes)]


def _draw(task: str, source: tuple[int, int, int]) -> Trial:
    drawn = int(np.random.SeedSequence(source).generate_state(1)[0])
    seed = EVALUATION_BEGIN + drawn % (2**31 - EVALUATION_BEGIN)
    return Trial(task=task, index=source[2], seed=seed, configuration=f"seed-{seed}")
