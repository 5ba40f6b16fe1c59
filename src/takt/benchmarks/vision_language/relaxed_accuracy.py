"""ChartQA's relaxed accuracy: numbers within 5 % of the answer, anything else to the letter.

Masry et al. 2022 (arXiv:2203.10244), end of section 5.1; percentages and an answer of zero as in
lmms-eval (tasks/chartqa/utils.py) and VLMEvalKit (vlmeval/dataset/utils/vqa_eval.py).
"""

from takt.benchmarks.vision_language.question import Question

TOLERANCE = 0.05


def relaxed_accuracy(question: Question, reply: str) -> tuple[str, float]:
    """The reply as compared, and whether it is close enough to any answer."""
    found = reply.strip()
    return found, float(any(_close(found, answer.strip()) for answer in question.answers))


def _close(found: str, answer: str) -> bool:
    number, target = _number(found), _number(answer)
    # No share of zero is a tolerance: such answers are compared as text.
    if number is not None and target:
        return abs(number - target) / abs(target) <= TOLERANCE
    return found.lower() == answer.lower()


def _number(text: str) -> float | None:
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None
