"""The soak's verdict: every fault shows, every stop has its fault, every tick is kept."""

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
import soak

GOOD = soak.Tally(faults=Counter(), stops=Counter(), episodes=2, ticks=30)


class Kept:
    """A dataset of these lengths."""

    def __init__(self, *lengths: int) -> None:
        self.metadata = SimpleNamespace(episodes=[SimpleNamespace(length=n) for n in lengths])

    def __len__(self) -> int:
        return len(self.metadata.episodes)


def passed(tally: soak.Tally, kept: Kept, grown_mb: float = 0.0, threads: int = 0) -> object:
    return soak._judge(tally, cast(Any, kept), grown_mb, threads)["passed"]  # noqa: SLF001


def test_a_quiet_soak_passes() -> None:
    assert passed(GOOD, Kept(10, 20))


@pytest.mark.parametrize("what", ["unexplained", "not_stopped", "harmless", "unprovoked"])
def test_what_a_stop_must_not_be(what: str) -> None:
    assert not passed(replace(GOOD, **{what: 1}), Kept(10, 20))


def test_lost_ticks_growing_memory_and_threads_fail() -> None:
    assert not passed(GOOD, Kept(10, 19))
    assert not passed(GOOD, Kept(30))
    assert not passed(GOOD, Kept(10, 20), grown_mb=65.0)
    assert not passed(GOOD, Kept(10, 20), threads=1)
