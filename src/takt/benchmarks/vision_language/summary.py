"""What a finished run found: `summary.json`."""

from collections.abc import Sequence
from dataclasses import dataclass

from takt.benchmarks.vision_language.counting import by_category, chance, score, units
from takt.benchmarks.vision_language.estimates import Estimate
from takt.benchmarks.vision_language.question import Answered
from takt.benchmarks.vision_language.table import Benchmark


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """`score` is the benchmark's figure, 0 to 1, over `score.n` units of `questions` questions.

    `further` are figures that papers give beside it; `skipped` rows were damaged.
    """

    benchmark: str
    policy: str
    questions: int
    skipped: int
    score: Estimate
    chance: float
    further: dict[str, float]
    categories: dict[str, Estimate]


def summarise(
    name: str, policy: str, benchmark: Benchmark, answers: Sequence[Answered], skipped: int
) -> Summary:
    """Count `answers`, of which there must be one."""
    found = units(benchmark.counting, answers)
    every = list(found.values())
    groups = {
        category: score(benchmark.counting, group) for category, group in by_category(found).items()
    }
    return Summary(
        benchmark=name,
        policy=policy,
        questions=len(answers),
        skipped=skipped,
        score=score(benchmark.counting, every),
        chance=chance(benchmark.counting, every),
        further=benchmark.further(answers),
        categories=groups,
    )
