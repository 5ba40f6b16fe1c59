"""Wilson intervals against published values."""

import pytest

from takt.benchmarks.wilson import wilson


@pytest.mark.parametrize(
    ("k", "n", "lo", "hi"),
    [
        (128, 142, 0.841, 0.940),  # the published pilot's 3 h
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_known_intervals(k: int, n: int, lo: float, hi: float) -> None:
    found = wilson(k, n)
    assert (found.n, found.k, found.rate) == (n, k, k / n)
    assert found.lo == pytest.approx(lo, abs=6e-4)
    assert found.hi == pytest.approx(hi, abs=6e-4)


def test_no_trials_say_nothing() -> None:
    assert (wilson(0, 0).lo, wilson(0, 0).hi) == (0.0, 1.0)
    with pytest.raises(ValueError, match="k <= n"):
        wilson(3, 2)
