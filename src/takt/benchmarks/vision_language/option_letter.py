"""Which of several choices a reply names.

The rules of VLMEvalKit (vlmeval/utils/matching_util.py, "exact matching", MMBench's own heuristic)
behind lmms-eval's (tasks/ai2d and scienceqa: a leading "B."), and between them one of our own: an
option's text and nothing else is that option, even if it begins with "A". No model is asked what
was meant, and nothing is drawn at random: a reply that names no choice, or two, is wrong.
"""

import re

from takt.benchmarks.vision_language.question import Question

_LEADING = re.compile(r"\W*([A-Z])(?:\W*$|[.):,*\]])")
_ANOTHER = re.compile(r"\W*(?:(?:or|and)\W+)?([A-Z])(?:\W*$|[.):,*\]]|\s+(?:or|and)\b)")
_QUANTIFIER_WORDS = 3  # "A" before a word of a longer reply may be the article
_MEANT_A = re.compile(
    r"\b(?i:answer|option|choice)\b\W*(?:is\b\W*)?A\b"  # announced
    r"|\bA\b(?!\s+(?!is\b)\w)"  # or not before a word, but for "A is right"
)


def option_letter(question: Question, reply: str) -> tuple[str, float]:
    """The letter found, "" for none, and whether it is the right one."""
    found = _letter(question, reply.strip())
    return found, float(found == question.answers[0])


def _letter(question: Question, reply: str) -> str:
    letters = question.letters
    if len(bare := reply.strip(" .():*")) == 1 and bare.upper() in letters:
        return bare.upper()
    if (leading := _LEADING.match(reply)) and leading[1] in letters:
        another = _ANOTHER.match(reply, leading.end())
        if another is None or another[1] not in letters.replace(leading[1], ""):
            return leading[1]
    choices = dict(zip(letters, map(_bare, question.choices), strict=True))
    # "A dog" is the option "a dog", not A; "10" is no "1", though it holds one.
    same = [letter for letter, choice in choices.items() if choice and choice == _bare(reply)]
    if len(same) == 1:
        return same[0]
    words = re.sub(r"[.()\[\],:;!*#{}]", " ", reply).split()
    named = set(words) & set(letters)
    is_article = len(words) > _QUANTIFIER_WORDS and not _MEANT_A.search(reply)
    if len(named) == 1 and not (named == {"A"} and is_article):
        return named.pop()
    if len(reply) > 2 * sum(map(len, question.choices)):
        return ""
    spoken = [letter for letter, choice in choices.items() if choice and choice in reply.lower()]
    return spoken[0] if len(spoken) == 1 else ""


def _bare(text: str) -> str:
    return text.lower().strip(" .")
