"""Figures that papers give beside, or instead of, the share that is right."""

from collections import defaultdict
from collections.abc import Sequence

from takt.benchmarks.vision_language.counting import ImagePairs, units
from takt.benchmarks.vision_language.question import Answered

COGNITION = (
    "commonsense_reasoning",
    "numerical_calculation",
    "text_translation",
    "code_reasoning",
)
POINTS = 200  # of each of MME's 14 categories: ten of perception, four of cognition


def pope(answers: Sequence[Answered]) -> dict[str, float]:
    """Precision, recall and F1 of "yes" (Li et al. 2023), as in VLMEvalKit's POPE_rating.

    A reply that is neither yes nor no is a missed "yes", where lmms-eval leaves it out of recall.
    """
    counted = [answer for answer in answers for _ in answer.categories]
    said = [answer for answer in counted if answer.found == "yes"]
    hits = sum(answer.answer == "yes" for answer in said)
    there = sum(answer.answer == "yes" for answer in counted)
    precision = hits / len(said) if said else 0.0
    recall = hits / there if there else 0.0
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return {
        "f1": f1,
        "precision": precision,
        "recall": recall,
        "yes_ratio": len(said) / len(counted) if counted else 0.0,
    }


def mme(answers: Sequence[Answered]) -> dict[str, float]:
    """Points of perception (at most 2000) and of cognition (at most 800)."""
    scores: dict[str, list[float]] = defaultdict(list)
    for unit in units(ImagePairs(), answers).values():
        scores[unit.categories[0]].append(unit.score)
    points = {"perception": 0.0, "cognition": 0.0}
    for name, found in scores.items():
        part = "cognition" if name in COGNITION else "perception"
        points[part] += POINTS * sum(found) / len(found)
    return points


def circular(answers: Sequence[Answered]) -> dict[str, float]:
    """The share of single passes that are right."""
    return {"single_pass": sum(a.score for a in answers) / len(answers) if answers else 0.0}


def nothing(answers: Sequence[Answered]) -> dict[str, float]:
    """The share that is right says all."""
    return {}
