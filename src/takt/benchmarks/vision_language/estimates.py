"""Scores and differences of scores, each with an interval that small samples do not fool."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from takt.benchmarks.wilson import Z_95, wilson

Strata = Sequence[np.ndarray]
"""Values in [-1, 1] of each stratum, (unit,); what is estimated is the mean of their means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over `n` units; `lo` and `hi` bound its 95 % interval."""

    n: int
    rate: float
    lo: float
    hi: float


def mean(strata: Strata) -> Estimate:
    """Of values in [0, 1]: a proportion's interval is Wilson's.

    Else it is that of Agresti and Coull (1998), which adds two rights and two wrongs, with the
    measured variance in the place of a proportion's.
    """
    if len(strata) == 1 and np.isin(strata[0], (0, 1)).all():
        found = wilson(int(strata[0].sum()), len(strata[0]))
        return Estimate(n=found.n, rate=found.rate, lo=found.lo, hi=found.hi)
    return _interval(strata, total=2.0, squares=2.0, pseudo=4, bounds=(0.0, 1.0))


def paired_difference(strata: Strata) -> Estimate:
    """Of differences in [-1, 1] of the same units before and after.

    Agresti and Min (2005), Statistics in Medicine 24, 729-740: two pairs are added that differ in
    neither or in either direction, so even a hundred equal answers leave some doubt. For
    differences that are no whole numbers the formula is the same.
    """
    return _interval(strata, total=0.0, squares=1.0, pseudo=2, bounds=(-1.0, 1.0))


def _interval(
    strata: Strata, *, total: float, squares: float, pseudo: int, bounds: tuple[float, float]
) -> Estimate:
    """Normal, after `pseudo` units with that sum and sum of squares were added to each stratum."""
    centres, variances = [], []
    for values in strata:
        count = len(values) + pseudo
        centre = (float(values.sum()) + total) / count
        centres.append(centre)
        variances.append((float((values**2).sum()) + squares - count * centre**2) / count**2)
    rate = float(np.mean([values.mean() for values in strata]))
    centre, half = float(np.mean(centres)), Z_95 * math.sqrt(sum(variances)) / len(strata)
    low, high = bounds
    return Estimate(
        n=sum(map(len, strata)),
        rate=rate,
        lo=min(max(centre - half, low), rate),
        hi=max(min(centre + half, high), rate),
    )
