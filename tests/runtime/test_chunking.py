"""The planner refuses what could not run without gaps, and says why."""

from typing import get_args

import pytest

from takt.runtime.chunking import (
    NAMES,
    Chunking,
    ChunkingError,
    LambdaPrefix,
    StreamingReplan,
    Synchronous,
    TemporalEnsembling,
    title,
    validate,
)
from takt.runtime.latency import delay_ticks
from takt.types import TaktError


@pytest.mark.parametrize(
    ("chunking", "horizon", "delay", "reason"),
    [
        (Synchronous(17), 16, 0, "T_e <= T"),
        (Synchronous(0), 16, 0, "1 <= T_e"),
        (LambdaPrefix(2, 3), 16, 3, "d <= T_e"),
        (LambdaPrefix(14, 3), 16, 3, "T_e <= T - d"),
        (LambdaPrefix(8, 2), 16, 3, "d <= prefix"),
        (LambdaPrefix(12, 5), 16, 3, "prefix <= T - T_e"),
    ],
)
def test_refusals_name_the_rule(chunking: Chunking, horizon: int, delay: int, reason: str) -> None:
    with pytest.raises(ChunkingError, match=reason):
        validate(chunking, horizon, delay)


@pytest.mark.parametrize("delay", range(7))
def test_the_released_figures_are_accepted(delay: int) -> None:
    validate(LambdaPrefix(10, delay), 30, delay)
    validate(Synchronous(30), 30, delay)


def test_delay_rounds_up_to_whole_ticks() -> None:
    assert [delay_ticks(ms, 30.0) for ms in (0, 1, 33.4, 80, 100, 200)] == [0, 1, 2, 3, 3, 6]
    with pytest.raises(TaktError, match="latency"):
        delay_ticks(-1, 30.0)


def test_every_strategy_has_a_title_for_people() -> None:
    assert set(NAMES) == set(get_args(Chunking))
    assert title(LambdaPrefix(6, 6)) == "Λ-prefix, executes 6, prefix up to 6"
    assert title(Synchronous(30)) == "synchronous, executes 30"
    assert (
        title(StreamingReplan(4, first=2)) == "streaming replan (FASTER), executes 4, first 2 early"
    )
    assert title(TemporalEnsembling(4)) == "temporal ensembling (ACT), executes 4, decay 0.01"
