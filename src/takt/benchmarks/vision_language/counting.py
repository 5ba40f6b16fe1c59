"""From answered questions to a benchmark's score: what counts as one, and how it is averaged."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from takt.benchmarks.vision_language.estimates import Design, Estimate, mean
from takt.benchmarks.vision_language.question import Answered


@dataclass(frozen=True, slots=True)
class Unit:
    """What is asked as one and counts once in each of `categories`.

    `chance` is what a blind answer scores on average.
    """

    categories: tuple[str, ...]
    score: float
    chance: float


@dataclass(frozen=True, slots=True)
class Alone:
    """Every question counts, once in each of its categories.

    Rows of one group ask the same, each in its own category.
    """


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
Units = Mapping[str, Unit]
"""By the group, or the key of a question without one."""


def groups(answers: Sequence[Answered]) -> dict[str, list[Answered]]:
    """Answers that only count together; one without a group is its own."""
    found: dict[str, list[Answered]] = defaultdict(list)
    for answer in answers:
        found[answer.group or answer.key].append(answer)
    return found


def samples(answers: Iterable[Answered]) -> int:
    """As papers count them: a question in each of its categories."""
    return sum(len(answer.categories) for answer in answers)


def units(counting: Counting, answers: Sequence[Answered]) -> dict[str, Unit]:
    """What counts; of groups whose members count together, only those that lost none."""
    found = groups(answers)
    if not isinstance(counting, Alone):
        found = _whole(found)
    return {name: _together(counting, group) for name, group in found.items()}


def _whole(found: Mapping[str, list[Answered]]) -> dict[str, list[Answered]]:
    """Groups as large as most with as many options, which are those of the same chance."""
    sizes: dict[float, Counter[int]] = defaultdict(Counter)
    for group in found.values():
        sizes[group[0].chance][len(group)] += 1
    usual = {
        chance: max(counts, key=lambda size: (counts[size], size))
        for chance, counts in sizes.items()
    }
    return {name: group for name, group in found.items() if len(group) >= usual[group[0].chance]}


def _together(counting: Counting, group: Sequence[Answered]) -> Unit:
    categories, scores = group[0].categories, [answer.score for answer in group]
    chances = [answer.chance for answer in group]
    match counting:
        case Alone():
            every = tuple(name for answer in group for name in answer.categories)
            return Unit(every, float(np.mean(scores)), float(np.mean(chances)))
        case Circular():
            return Unit(categories, prod(scores), prod(chances))
        case ImagePairs():
            return Unit(
                categories,
                (float(np.mean(scores)) + prod(scores)) / 2,
                (float(np.mean(chances)) + prod(chances)) / 2,
            )


def design(counting: Counting, found: Sequence[Unit]) -> Design:
    """A unit weighs as much as it has categories; MME's categories are strata of equal weight."""
    names = [unit.categories[0] if isinstance(counting, ImagePairs) else "" for unit in found]
    _, strata = np.unique(names, return_inverse=True)
    weights = np.array([len(unit.categories) for unit in found], float)
    weights /= np.bincount(strata, weights)[strata]
    return Design(weights / weights.sum(), strata)


def score(counting: Counting, found: Sequence[Unit]) -> Estimate:
    """The benchmark's figure, 0 to 1."""
    return mean(np.array([unit.score for unit in found]), design(counting, found))


def chance(counting: Counting, found: Sequence[Unit]) -> float:
    """The same figure of one who answers blindly."""
    return float(design(counting, found).weights @ [unit.chance for unit in found])


def by_category(found: Units) -> dict[str, dict[str, Unit]]:
    """Units of each named category, if there are at least two."""
    parts: dict[str, dict[str, Unit]] = defaultdict(dict)
    for key, unit in found.items():
        for category in unit.categories:
            parts[category][key] = replace(unit, categories=(category,))
    named = {name: part for name, part in sorted(parts.items()) if name}
    return named if len(named) > 1 else {}
