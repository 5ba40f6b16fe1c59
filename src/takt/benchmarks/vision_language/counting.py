"""From answered questions to a benchmark's score: what counts as one, and how it is averaged."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from takt.benchmarks.vision_language.estimates import Estimate, mean
from takt.benchmarks.vision_language.question import Answered


@dataclass(frozen=True, slots=True)
class Unit:
    """What counts as one; `chance` is what a blind answer scores on average."""

    category: str
    score: float
    chance: float


@dataclass(frozen=True, slots=True)
class Alone:
    """Every question counts, once in each of its categories."""


@dataclass(frozen=True, slots=True)
class Circular:
    """The passes of a group count as one, right if all are (Liu et al. 2023, MMBench)."""


@dataclass(frozen=True, slots=True)
class ImagePairs:
    """MME (Fu et al. 2023): accuracy and the share of images with both answers right, averaged.

    The mean over categories of 0 to 1; times 2000 or 800 it is the published points, of which
    every category has 200.
    """


Counting = Alone | Circular | ImagePairs


def units(counting: Counting, answers: Sequence[Answered]) -> dict[tuple[str, str], Unit]:
    """What counts, by key (its question or group, its category)."""
    if isinstance(counting, Alone):
        return {
            (answer.key, category): Unit(category, answer.score, answer.chance)
            for answer in answers
            for category in answer.categories
        }
    groups: dict[str, list[Answered]] = defaultdict(list)
    for answer in answers:
        groups[answer.group].append(answer)
    return {
        (name, group[0].categories[0]): _together(counting, group) for name, group in groups.items()
    }


def _together(counting: Circular | ImagePairs, group: Sequence[Answered]) -> Unit:
    category, scores = group[0].categories[0], [answer.score for answer in group]
    chances = [answer.chance for answer in group]
    match counting:
        case Circular():
            return Unit(category, prod(scores), prod(chances))
        case ImagePairs():
            return Unit(
                category,
                (float(np.mean(scores)) + prod(scores)) / 2,
                (float(np.mean(chances)) + prod(chances)) / 2,
            )


def strata(
    counting: Counting, found: Sequence[Unit], value: Callable[[int], float]
) -> list[np.ndarray]:
    """`value(i)` of each unit: in one stratum, but for MME one a category."""
    by_stratum: dict[str, list[float]] = defaultdict(list)
    for number, unit in enumerate(found):
        name = unit.category if isinstance(counting, ImagePairs) else ""
        by_stratum[name].append(value(number))
    return [np.array(values) for values in by_stratum.values()]


def score(counting: Counting, found: Sequence[Unit]) -> Estimate:
    """The benchmark's figure, 0 to 1."""
    return mean(strata(counting, found, lambda i: found[i].score))


def chance(counting: Counting, found: Sequence[Unit]) -> float:
    """The same figure of one who answers blindly."""
    parts = strata(counting, found, lambda i: found[i].chance)
    return float(np.mean([part.mean() for part in parts]))


def by_category(found: Mapping[tuple[str, str], Unit]) -> dict[str, list[Unit]]:
    """Units of each named category, if there are at least two."""
    groups: dict[str, list[Unit]] = defaultdict(list)
    for unit in found.values():
        groups[unit.category].append(unit)
    named = {name: group for name, group in sorted(groups.items()) if name}
    return named if len(named) > 1 else {}
