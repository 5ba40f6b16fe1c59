"""The ten benchmarks of the paper's table 3 (section 3.3, appendix C), and the toy's questions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from takt.benchmarks.vision_language import blocks, further_metrics, layouts, prompts
from takt.benchmarks.vision_language.counting import Alone, Circular, Counting, ImagePairs
from takt.benchmarks.vision_language.mmmu_answer import mmmu_answer
from takt.benchmarks.vision_language.option_letter import option_letter
from takt.benchmarks.vision_language.question import Answered, Question
from takt.benchmarks.vision_language.relaxed_accuracy import relaxed_accuracy
from takt.benchmarks.vision_language.rows import Row
from takt.benchmarks.vision_language.vqa_accuracy import vqa_accuracy
from takt.benchmarks.vision_language.yes_no import yes_no
from takt.types import TaktError

Layout = Callable[[Row], Question | None]
"""A row as a question; None for one that is no part of the benchmark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """`judge` gives what it found in a reply and its score; `chance` that of a blind answer.

    `samples` is the size of the whole (appendix C); POPE's are 5127 rows in VLMEvalKit's TSV, each
    a sample of every category it names.
    """

    title: str
    samples: int
    ask: Callable[[Question], str]
    judge: Callable[[Question, str], tuple[str, float]]
    chance: Callable[[Question], float]
    parquet: Layout
    tsv: Layout
    counting: Counting = Alone()
    further: Callable[[Sequence[Answered]], dict[str, float]] = further_metrics.nothing
    answer_tokens: int = 16


def one_of_choices(question: Question) -> float:
    """One letter in so many; without choices nobody guesses an answer."""
    return 1 / len(question.choices) if question.choices else 0.0


def a_coin(question: Question) -> float:
    """Yes or no."""
    return 0.5


def none(question: Question) -> float:
    """An open answer is not guessed."""
    return 0.0


BENCHMARKS: dict[str, Benchmark] = {
    "erqa": Benchmark(
        title="ERQA",
        samples=400,
        ask=prompts.as_is,
        judge=option_letter,
        chance=one_of_choices,
        parquet=layouts.erqa,
        tsv=layouts.lettered,
        answer_tokens=1024,
    ),
    "seed": Benchmark(
        title="SEED image",
        samples=14_233,
        ask=prompts.choose,
        judge=option_letter,
        chance=one_of_choices,
        parquet=layouts.seed,
        tsv=layouts.lettered,
    ),
    "pope": Benchmark(
        title="POPE",
        samples=9_000,
        ask=prompts.briefly,
        judge=yes_no,
        chance=a_coin,
        parquet=layouts.pope,
        tsv=layouts.polled,
        further=further_metrics.pope,
        answer_tokens=128,
    ),
    "ai2d": Benchmark(
        title="AI2D",
        samples=3_088,
        ask=prompts.choose,
        judge=option_letter,
        chance=one_of_choices,
        parquet=layouts.ai2d,
        tsv=layouts.lettered,
    ),
    "mmbench": Benchmark(
        title="MMBench dev en",
        samples=4_329,
        ask=prompts.choose_mmbench,
        judge=option_letter,
        chance=one_of_choices,
        parquet=layouts.mmbench,
        tsv=layouts.mmbench,
        counting=Circular(),
        further=further_metrics.circular,
        answer_tokens=1024,
    ),
    "mme": Benchmark(
        title="MME",
        samples=2_374,
        ask=prompts.briefly,
        judge=yes_no,
        chance=a_coin,
        parquet=layouts.mme,
        tsv=layouts.mme,
        counting=ImagePairs(),
        further=further_metrics.mme,
    ),
    "mmmu": Benchmark(
        title="MMMU val",
        samples=900,
        ask=prompts.mmmu,
        judge=mmmu_answer,
        chance=one_of_choices,
        parquet=layouts.mmmu,
        tsv=layouts.lettered_or_open,
        answer_tokens=128,
    ),
    "textvqa": Benchmark(
        title="TextVQA",
        samples=5_000,
        ask=prompts.briefly_textvqa,
        judge=vqa_accuracy,
        chance=none,
        parquet=layouts.textvqa,
        tsv=layouts.said,
    ),
    "scienceqa": Benchmark(
        title="ScienceQA image",
        samples=2_017,
        ask=prompts.choose,
        judge=option_letter,
        chance=one_of_choices,
        parquet=layouts.scienceqa,
        tsv=layouts.lettered,
    ),
    "chartqa": Benchmark(
        title="ChartQA",
        samples=2_500,
        ask=prompts.one_word,
        judge=relaxed_accuracy,
        chance=none,
        parquet=layouts.chartqa,
        tsv=layouts.labelled,
    ),
    "blocks": Benchmark(
        title="Blocks (toy)",
        samples=4 * blocks.SCENES,
        ask=prompts.as_is,
        judge=blocks.judge,
        chance=blocks.chance,
        parquet=blocks.no_file,
        tsv=blocks.no_file,
        answer_tokens=8,
    ),
}


class UnknownBenchmarkError(TaktError):
    """A name that is no benchmark's."""


def benchmark_named(name: str) -> Benchmark:
    """The benchmark called `name`.

    Raises:
        UnknownBenchmarkError: there is none; the message lists the known.
    """
    if name not in BENCHMARKS:
        raise UnknownBenchmarkError(
            f"expected one of {', '.join(BENCHMARKS)}, got {name!r}; see --benchmark"
        )
    return BENCHMARKS[name]
