"""McNemar's test against figures worked out by hand."""

import pytest

from takt.benchmarks.mcnemar import mcnemar


@pytest.mark.parametrize(
    ("won", "lost", "p"),
    [(0, 0, 1.0), (1, 0, 1.0), (3, 3, 1.0), (5, 0, 0.0625), (1, 7, 0.0703125), (0, 10, 2 / 1024)],
)
def test_only_trials_that_differ_count(won, lost, p):
    ours = [True] * won + [False] * lost + [True, False]
    theirs = [False] * won + [True] * lost + [True, False]
    assert mcnemar(ours, theirs) == pytest.approx(p)
    assert mcnemar(theirs, ours) == pytest.approx(p)
