"""What the columns of each benchmark's file mean: rows become questions.

Parquet columns are those of the datasets that lmms-eval 0.7.3 reads (tasks/*/utils.py), TSV columns
those of VLMEvalKit (vlmeval/dataset/image_mcq.py, image_yorn.py, image_vqa.py).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from takt.benchmarks.vision_language.question import LETTERS, Question
from takt.benchmarks.vision_language.rows import Row

ROLLED = 1_000_000  # MMBench: rows whose index agrees modulo this ask the same in another order


def erqa(row: Row) -> Question:
    """FlagEval/ERQA: the four options are part of the question."""
    options = ("",) * 4
    right = _letter(row, options)
    category = row.maybe("question_type")
    return _question(row, right, images=("images",), choices=options, category=category)


def seed(row: Row) -> Question | None:
    """lmms-lab/SEED-Bench; questions about videos are not part of "SEED image"."""
    if row.text("data_type") != "image":
        return None
    options = tuple(row.text(f"choice_{letter}") for letter in "abcd")
    category = row.maybe("question_type_id")
    return _question(row, _letter(row, options), choices=options, category=category)


def pope(row: Row) -> Question:
    """lmms-lab/POPE: yes or no, one category a row; the same question may be in all three."""
    question = _question(row, _yes_or_no(row), category=row.maybe("category"))
    digest = hashlib.sha256(b"".join((*question.images, question.text.encode())))
    return replace(question, group=digest.hexdigest()[:16])


def ai2d(row: Row) -> Question:
    """lmms-lab/ai2d: the answer is a position in the options."""
    options = row.texts("options")
    return _question(row, _at(row, options), choices=options)


def mmbench(row: Row) -> Question:
    """lmms-lab/MMBench and VLMEvalKit's TSV, which have the same columns."""
    return replace(lettered(row), group=str(row.number("index") % ROLLED))


def mme(row: Row) -> Question:
    """lmms-lab/MME and VLMEvalKit's TSV: two questions about each image, which count together."""
    image = row.maybe("question_id") or row.maybe("image_path")
    if not image:
        raise row.error("expected the image's name in question_id or image_path, got none")
    category = row.text("category")
    question = _question(row, _yes_or_no(row), category=category)
    return replace(question, group=f"{category}/{image}")


def mmmu(row: Row) -> Question:
    """lmms-lab/MMMU: the images that the text names, in order; without options any words."""
    category = row.maybe("subfield")
    is_open = row.text("question_type") != "multiple-choice"
    options = () if is_open else row.texts("options")
    named = "\n".join((row.text("question"), *options))
    images = [f"image_{number}" for number in range(1, 8) if f"<image {number}>" in named]
    right = row.texts("answer") if is_open else _letter(row, options)
    return _question(row, right, images=images or ["image_1"], choices=options, category=category)


def textvqa(row: Row) -> Question:
    """lmms-lab/textvqa: the words of ten annotators."""
    return _question(row, row.texts("answers"))


def scienceqa(row: Row) -> Question:
    """lmms-lab/ScienceQA (ScienceQA-IMG): the answer is a position in the choices."""
    options, category = row.texts("choices"), row.maybe("subject")
    right, hint = _at(row, options), row.maybe("hint")
    return _question(row, right, choices=options, hint=hint, category=category)


def chartqa(row: Row) -> Question:
    """lmms-lab/ChartQA: human and augmented questions."""
    return _question(row, (row.text("answer"),), category=row.maybe("type"))


def lettered(row: Row) -> Question:
    """A TSV's multiple choice: options in columns A, B and so on, a letter as answer."""
    options, hint = _options(row), row.maybe("hint")
    category = row.maybe("category")
    return _question(row, _letter(row, options), choices=options, hint=hint, category=category)


def lettered_or_open(row: Row) -> Question:
    """A TSV's MMMU: rows without options are open questions."""
    if _options(row):
        return lettered(row)
    return _question(row, row.texts("answer"), category=row.maybe("category"))


def said(row: Row) -> Question:
    """A TSV's TextVQA: one answer, or a list of them."""
    return _question(row, row.texts("answer"), category=row.maybe("split"))


def labelled(row: Row) -> Question:
    """A TSV's ChartQA: one answer, even where it looks like a list."""
    return _question(row, (row.text("answer"),), category=row.maybe("split"))


def polled(row: Row) -> Question:
    """A TSV's POPE: a row may stand for several categories, and counts once in each."""
    categories = tuple(name.strip() for name in row.maybe("category").split(","))
    return replace(_question(row, _yes_or_no(row)), categories=categories)


def _question(
    row: Row,
    answers: tuple[str, ...],
    *,
    images: Sequence[str] = ("image",),
    choices: tuple[str, ...] = (),
    hint: str = "",
    category: str = "",
) -> Question:
    """`images` are columns."""
    return Question(
        key=row.key,
        where=row.where,
        images=row.images(*images),
        text=row.text("question"),
        answers=answers,
        choices=choices,
        hint=hint,
        categories=(category,),
    )


def _options(row: Row) -> tuple[str, ...]:
    """What columns A, B, … hold, up to the first without text."""
    texts = [row.maybe(letter) for letter in LETTERS]
    return tuple(texts[: [*texts, ""].index("")])


def _letter(row: Row, options: Sequence[str]) -> tuple[str]:
    letter = row.text("answer").strip().upper()
    if len(options) < 2 or letter not in list(LETTERS[: len(options)]):
        raise row.error(f"expected the letter of one of {len(options)} options, got {letter!r}")
    return (letter,)


def _at(row: Row, options: Sequence[str]) -> tuple[str]:
    position = row.number("answer")
    if not 0 <= position < len(options):
        raise row.error(f"answer: expected a position in {len(options)} options, got {position}")
    return (LETTERS[position],)


def _yes_or_no(row: Row) -> tuple[str]:
    answer = row.text("answer").strip().lower()
    if answer not in ("yes", "no"):
        raise row.error(f"answer: expected yes or no, got {answer!r}")
    return (answer,)
