"""Success rates of tasks, their means, and chains, each with its 95 % interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from takt.benchmarks.vision_language.estimates import Design, Estimate, mean
from takt.benchmarks.wilson import Proportion, wilson


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How often trials succeeded.

    Attributes:
        n: Trials.
        k: Those that succeeded. One of a chain did if all of the chain did.
        rate: k / n of a task or of all trials; of a group or average, the mean of its parts.
        lo: Lower end of the 95 % interval, in which repeats that agree count once.
        hi: Upper end.
        distinct: Configurations among the trials.
    """

    n: int
    k: int
    rate: float
    lo: float
    hi: float
    distinct: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Successes among the trials of a task, and among those that count towards intervals."""

    successes: Sequence[bool]
    counted: Sequence[bool]
    distinct: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """`in_a_row[i]`: chains of which at least the first i + 1 tasks succeeded.

    `mean_length` is the mean number of tasks in a row, from 0 to the length of the chain.
    """

    in_a_row: tuple[Proportion, ...]
    mean_length: Estimate


def pooled(tallies: Sequence[Tally]) -> Rate:
    """All trials alike; the interval is Wilson's."""
    successes = [one for tally in tallies for one in tally.successes]
    counted = [one for tally in tallies for one in tally.counted]
    return _rate(tallies, fmean(successes), wilson(sum(counted), len(counted)))


def mean_of(parts: Sequence[Sequence[str]], tallies: Mapping[str, Tally]) -> Rate:
    """The mean of `parts`, each the mean of its tasks.

    The interval is that of a weighted mean (`estimates.mean`): Wilson's if all trials weigh alike.
    """
    weights, values = [], []
    for part in parts:
        for counted in (tallies[task].counted for task in part):
            weights += [1 / len(parts) / len(part) / len(counted)] * len(counted)
            values += counted
    # one stratum: how tasks differ widens the interval
    design = Design(np.array(weights), np.zeros(len(weights), dtype=np.int64))
    rate = fmean(fmean(fmean(tallies[task].successes) for task in part) for part in parts)
    among = [tallies[task] for part in parts for task in part]
    return _rate(among, rate, mean(np.array(values, dtype=np.float64), design))


def chain(stages: Sequence[int], longest: int) -> Chain:
    """Of chains of `longest` tasks, of which the first `stages` succeeded."""
    size = len(stages)
    design = Design(np.full(size, 1 / size), np.zeros(size, dtype=np.int64))
    share = mean(np.array(stages) / longest, design)
    return Chain(
        in_a_row=tuple(
            wilson(sum(reached >= count for reached in stages), size)
            for count in range(1, longest + 1)
        ),
        mean_length=Estimate(
            n=size, rate=fmean(stages), lo=longest * share.lo, hi=longest * share.hi
        ),
    )


def _rate(tallies: Sequence[Tally], rate: float, bounds: Proportion | Estimate) -> Rate:
    return Rate(
        n=sum(len(tally.successes) for tally in tallies),
        k=sum(sum(tally.successes) for tally in tallies),
        rate=rate,
        # where configurations have unequally many repeats, the bounds are of a slightly other rate
        lo=min(bounds.lo, rate),
        hi=max(bounds.hi, rate),
        distinct=sum(tally.distinct for tally in tallies),
    )
