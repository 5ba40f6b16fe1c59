"""Scores and differences of scores, each with an interval that small samples do not fool."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from takt.benchmarks.wilson import Z_95, wilson


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over `n` units; `lo` and `hi` bound its 95 % interval."""

    n: int
    rate: float
    lo: float
    hi: float


@dataclass(frozen=True, slots=True)
class Design:
    """What each unit counts for: weights that sum to 1, and the number of its stratum."""

    weights: Float[np.ndarray, " unit"]
    strata: Int[np.ndarray, " unit"]

    @property
    def effective_size(self) -> float:
        """How many units of equal weight would tell as much (Kish 1965)."""
        return 1 / float((self.weights**2).sum())

    @property
    def is_plain(self) -> bool:
        """One stratum, equal weights."""
        return not self.strata.any() and float(np.ptp(self.weights)) == 0


def mean(values: Float[np.ndarray, " unit"], design: Design) -> Estimate:
    """Of values in [0, 1]: the interval of a plain proportion is Wilson's.

    Else it is that of Agresti and Coull (1998), which adds two rights and two wrongs, with the
    measured variance in the place of a proportion's.
    """
    if design.is_plain and np.isin(values, (0, 1)).all():
        found = wilson(int(values.sum()), len(values))
        return Estimate(n=found.n, rate=found.rate, lo=found.lo, hi=found.hi)
    return _interval(values, design, total=2.0, squares=2.0, pseudo=4, bounds=(0.0, 1.0))


def paired_difference(values: Float[np.ndarray, " unit"], design: Design) -> Estimate:
    """Of differences in [-1, 1] of the same units before and after.

    Agresti and Min (2005), Statistics in Medicine 24, 729-740: two pairs are added that differ in
    neither or in either direction, so even a hundred equal answers leave some doubt. For
    differences that are no whole numbers the formula is the same.
    """
    return _interval(values, design, total=0.0, squares=1.0, pseudo=2, bounds=(-1.0, 1.0))


def _interval(
    values: np.ndarray,
    design: Design,
    *,
    total: float,
    squares: float,
    pseudo: int,
    bounds: tuple[float, float],
) -> Estimate:
    """Normal, after `pseudo` units with that sum and sum of squares joined the effective ones.

    They join the whole once: in each of many small strata they would move the centre.
    """
    weights, strata, size = design.weights, design.strata, design.effective_size
    rate = float(weights @ values)
    centre = (size * rate + total) / (size + pseudo)
    means = np.bincount(strata, weights * values) / np.bincount(strata, weights)
    within = size**2 * float(weights**2 @ (values - means[strata]) ** 2)
    joined = size * (rate - centre) ** 2 + squares - 2 * centre * total + pseudo * centre**2
    half = Z_95 * math.sqrt(within + joined) / (size + pseudo)
    low, high = bounds
    return Estimate(
        n=len(values), rate=rate, lo=max(centre - half, low), hi=min(centre + half, high)
    )
