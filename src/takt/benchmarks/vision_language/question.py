"""A question about images, and what became of it: the two ends of every benchmark here."""

import string
from dataclasses import dataclass

from takt.types import TaktError

LETTERS = string.ascii_uppercase  # of choices, in their order
RULES = 3  # raise it whenever the same reply may be judged or counted differently


class RowError(TaktError):
    """A damaged row of a benchmark's data; `where` names the file and the row."""

    def __init__(self, where: str, message: str) -> None:
        """Name the place in front of the message."""
        super().__init__(f"{where}: {message}")
        self.where = where


class UnanswerableError(TaktError):
    """A policy refuses one question: its images or its length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One row of a benchmark, whatever its file looked like.

    `images` are encoded files (PNG, JPEG), `choices` the options in the order of their letters.
    `answers` holds the right letter, yes or no, all that are right, or what each annotator said.
    It counts once in each of `categories`, and rows of one `group` only count together.
    """

    key: str
    where: str
    images: tuple[bytes, ...]
    text: str
    answers: tuple[str, ...]
    hint: str = ""
    choices: tuple[str, ...] = ()
    categories: tuple[str, ...] = ("",)
    group: str = ""

    @property
    def letters(self) -> str:
        """Those of its choices: "ABCD"."""
        return LETTERS[: len(self.choices)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A question's outcome: a line of `answers.jsonl`.

    `found` is what the rule read out of the reply, "" for nothing; `score` is in [0, 1], and
    `chance` what one who cannot see would score on average; `rules` says which judged it.
    """

    key: str
    group: str
    categories: tuple[str, ...]
    answer: str
    reply: str
    found: str
    score: float
    chance: float
    rules: int = RULES
