"""Which of several choices a reply names.

The rules of VLMEvalKit (vlmeval/utils/matching_util.py, "exact matching", MMBench's own heuristic)
behind lmms-eval's (tasks/ai2d and scienceqa: a leading "B."). No model is asked what was meant,
and nothing is drawn at random: a reply that names no choice, or two, is wrong.
"""

import re

from takt.benchmarks.vision_language.question import Question

_LEADING = re.compile(r"\W*([A-Z])(?:\W*$|[.):,*\]])")
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
        return leading[1]
    words = re.sub(r"[.()\[\],:;!*#{}]", " ", reply).split()
    named = set(words) & set(letters)
    is_article = len(words) > _QUANTIFIER_WORDS and not _MEANT_A.search(reply)
    if len(named) == 1 and not (named == {"A"} and is_article):
        return named.pop()
    if len(reply) > 2 * sum(map(len, question.choices)):
        return ""
    pairs = zip(letters, question.choices, strict=True)
    spoken = [letter for letter, choice in pairs if choice and choice.lower() in reply.lower()]
    return spoken[0] if len(spoken) == 1 else ""
