"""A run over a benchmark: every question is asked once, whatever interrupts it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from takt.benchmarks.vision_language import blocks
from takt.benchmarks.vision_language.counting import Alone
from takt.benchmarks.vision_language.question import (
    Answered,
    Question,
    RowError,
    UnanswerableError,
)
from takt.benchmarks.vision_language.rows import Table, open_table
from takt.benchmarks.vision_language.store import AnswerStore
from takt.benchmarks.vision_language.table import Benchmark
from takt.datasets.encoded_image import decode_image
from takt.types import TaktError

Answer = Callable[[Sequence[np.ndarray], str], str]
"""Images, each (height, width, 3) uint8 RGB, and a prompt: the reply, or UnanswerableError."""


@dataclass(slots=True)
class BadRows:
    """What becomes of damaged rows: the first one ends the run, or all are counted."""

    skip: bool
    errors: list[RowError] = field(default_factory=list)

    def meet(self, error: RowError) -> None:
        """Count `error`, or raise it."""
        if not self.skip:
            raise TaktError(f"{error}; mend it, or leave such rows out with --skip-bad")
        self.errors.append(error)


@dataclass(frozen=True, slots=True)
class Seeds:
    """Questions that are drawn, not read."""

    count: int = 4 * blocks.SCENES

    def digest(self) -> str:
        """A name for what fixes them."""
        return f"blocks-{blocks.SCENES}"


Source = Table | Seeds


def open_source(name: str, data: Path | None) -> Source:
    """Where a benchmark's questions come from.

    Raises:
        TaktError: no data where some are needed, or there where none are; or they are damaged.
    """
    if (name == "blocks") != (data is None):
        wanted = "none: it draws its questions" if data else "its file or folder"
        raise TaktError(f"--data: the benchmark {name!r} takes {wanted}")
    return Seeds() if data is None else open_table(data)


def questions(benchmark: Benchmark, source: Source, bad: BadRows) -> Iterator[Question]:
    """Every question of `source` that is part of the benchmark."""
    if isinstance(source, Seeds):
        yield from blocks.questions()
        return
    layout = benchmark.tsv if source.is_tsv else benchmark.parquet
    for row in source.rows():
        try:
            question = layout(row)
        except RowError as error:
            bad.meet(error)
            continue
        if question is not None:
            yield question


def first(asked: Iterable[Question], limit: int | None, benchmark: Benchmark) -> Iterator[Question]:
    """The first `limit` of them; where a group counts as one, the first `limit` groups, whole."""
    seen: set[str] = set()
    for question in asked:
        alone = isinstance(benchmark.counting, Alone)
        unit = question.key if alone else question.group or question.key
        if limit is not None and len(seen) == limit and unit not in seen:
            if alone:
                return
            continue
        seen.add(unit)
        yield question


def evaluate(
    benchmark: Benchmark,
    asked: Iterable[Question],
    answer: Answer,
    store: AnswerStore,
    bad: BadRows,
    report: Callable[[int, float], None],
) -> list[Answered]:
    """Ask what has no answer in `store` yet; every answer of `asked`, judged by today's rules.

    `report` follows each with the number of answers and their mean score.

    Raises:
        TaktError: a row is damaged, or there was nothing to ask.
    """
    found: list[Answered] = []
    scores = 0.0
    for question in asked:
        known = store.answers.get(question.key)
        try:
            reply = known.reply if known else _ask(benchmark, question, answer)
        except RowError as error:
            bad.meet(error)
            continue
        judged = _judge(benchmark, question, reply)
        if judged != known:
            store.add(judged)
        found.append(judged)
        scores += judged.score
        report(len(found), scores / len(found))
    if not found:
        raise TaktError(
            f"{store.folder}: expected questions, got none; is --data this benchmark's file?"
        )
    return found


def _ask(benchmark: Benchmark, question: Question, answer: Answer) -> str:
    try:
        images = [np.array(decode_image(encoded)) for encoded in question.images]
    except ValueError as error:
        raise RowError(question.where, f"image: {error}") from error
    try:
        return answer(images, benchmark.ask(question))
    except UnanswerableError as error:
        raise RowError(question.where, str(error)) from error


def _judge(benchmark: Benchmark, question: Question, reply: str) -> Answered:
    found, score = benchmark.judge(question, reply)
    return Answered(
        key=question.key,
        group=question.group,
        categories=question.categories,
        answer=question.answers[0],
        reply=reply,
        found=found,
        score=score,
        chance=benchmark.chance(question),
    )
