"""What a finished run found: `summary.json`."""

from collections.abc import Sequence
from dataclasses import dataclass

from takt.benchmarks.vision_language.counting import (
    by_category,
    chance,
    groups,
    samples,
    score,
    units,
)
from takt.benchmarks.vision_language.estimates import Estimate
from takt.benchmarks.vision_language.question import Answered
from takt.benchmarks.vision_language.table import Benchmark


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """`score` is the benchmark's figure, 0 to 1, over `score.n` units of `questions` questions.

    These are `samples` of the benchmark's `whole`: one in each of a question's categories.
    `further` are figures that papers give beside it; `skipped` rows were damaged, `incomplete`
    groups left out because of that.
    """

    benchmark: str
    policy: str
    questions: int
    samples: int
    whole: int
    skipped: int
    incomplete: int
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
    return Summary(
        benchmark=name,
        policy=policy,
        questions=len(answers),
        samples=samples(answers),
        whole=benchmark.samples,
        skipped=skipped,
        incomplete=len(groups(answers)) - len(found),
        score=score(benchmark.counting, every),
        chance=chance(benchmark.counting, every),
        further=benchmark.further(answers),
        categories={
            category: score(benchmark.counting, list(part.values()))
            for category, part in by_category(found).items()
        },
    )
