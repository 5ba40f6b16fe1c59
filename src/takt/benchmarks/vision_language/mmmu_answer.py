"""MMMU's rules: a letter where there are choices, else a number or words found in the reply.

Yue et al. 2024; the official eval_utils.py as lmms-eval quotes it (tasks/mmmu/utils.py). Two
differences: letters are read as everywhere here, and a reply without one is wrong, where the
official code draws a letter at random.
"""

import re
from collections.abc import Iterator

from takt.benchmarks.vision_language.option_letter import option_letter
from takt.benchmarks.vision_language.question import Question

_BEFORE_ANSWER = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
_TRIVIAL = (":", ",", ".", "!", "?", ";", "'")
_NUMBER = re.compile(
    r"-?\b\d{1,3}(?:,\d{3})+\b|-?\d+(?:\.\d+)?[eE][+-]?\d+|-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d)(?![,\d])"
)


def mmmu_answer(question: Question, reply: str) -> tuple[str, float]:
    """What was found in the reply, and whether it is right."""
    if question.choices:
        return option_letter(question, reply)
    parts = list(_key_parts(reply))
    numbers = [number for part in parts for number in _NUMBER.findall(part)]
    candidates = [form for part in [*parts, *numbers] for form in _forms(part)]
    right = [form for answer in question.answers for form in _forms(answer)]
    return "; ".join(parts), float(any(_agree(c, r) for c in candidates for r in right))


def _key_parts(reply: str) -> Iterator[str]:
    """Of each line what follows the last word that announces an answer; else the whole reply."""
    lines = reply.strip().strip(".").lower().split("\n")
    found = []
    for number, line in enumerate(lines):
        # An equation counts in the last line only.
        signs = (*_BEFORE_ANSWER, "=") if number == len(lines) - 1 else _BEFORE_ANSWER
        tails = [line.split(sign)[-1].strip() for sign in signs if sign in line]
        shortest = min(tails, key=len, default="")
        found += [shortest] if shortest and shortest not in _TRIVIAL else []
    return iter(found or [reply.strip().strip(".").lower()])


def _forms(text: str) -> list[str | float]:
    """A number to two decimals, else lower case; a single letter must stand beside a space."""
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        text = text.lower()
        return [f" {text}", f"{text} "] if len(text) == 1 else [text]


def _agree(candidate: str | float, right: str | float) -> bool:
    if isinstance(candidate, str) and isinstance(right, str):
        return bool(right) and right in candidate
    return candidate == right
