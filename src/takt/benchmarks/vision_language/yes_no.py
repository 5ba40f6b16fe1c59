"""Yes or no, as VLMEvalKit reads it for POPE and MME (vlmeval/dataset/utils/yorn.py)."""

import re

from takt.benchmarks.vision_language.question import Question


def yes_no(question: Question, reply: str) -> tuple[str, float]:
    """Which of the two words the reply holds, "" for neither or both, and whether it is right."""
    words = {"yes", "no"} & set(re.findall(r"\w+", reply.lower()))
    found = words.pop() if len(words) == 1 else ""
    return found, float(found == question.answers[0])
