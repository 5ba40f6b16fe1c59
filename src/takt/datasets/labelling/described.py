"""What a vision-language model is asked to write: captions, questions, plans, names of things."""

import re
from collections.abc import Sequence

import numpy as np

from takt.datasets.labelling.models import Describer
from takt.types import Turn

CAPTION = "Describe this image."
_NAMES = (
    "Name the things in this image that can be pointed at, the most important first, by one to "
    "three words each, separated by commas. Answer with the names only."
)
_TOPICS = (
    *("the things on the table", "colours", "where things are", "how many there are of a thing"),
    *("the robot", "what things are made of", "the state of a thing", "the surroundings"),
)
_MOST_NAMES, _MOST_WORDS = 10, 3
_BULLET = re.compile(r"^(\(?\d+[.):]+|[-*\u2022])\s*")  # "1." or "-", though asked for names only


def caption(describer: Describer, image: np.ndarray) -> Turn | None:
    """None where the model says nothing, or does not come to an end."""
    return _turn(CAPTION, describer.answer([image], CAPTION))


def visual_questions(
    describer: Describer, image: np.ndarray, count: int, rng: np.random.Generator
) -> list[Turn | None]:
    """`count` turns, None for what is no question or has no answer.

    The answer is found anew from the image and the question alone.
    """
    turns: list[Turn | None] = []
    for topic in rng.permutation(len(_TOPICS))[:count].tolist():
        asked = describer.answer(
            [image],
            f"Ask one short question about {_TOPICS[topic]} that this image answers. Write the "
            "question only.",
        )
        asked = (asked or "").strip()
        answer = describer.answer([image], asked) if _is_question(asked) else None
        turns.append(_turn(asked, answer))
    return turns


def plan(describer: Describer, images: Sequence[np.ndarray], instruction: str) -> Turn | None:
    """The steps of a task, seen from its beginning."""
    asked = (
        f"The robot is asked: {instruction} Which steps does it have to take? List them in order, "
        "one a line, numbered."
    )
    return _turn(asked, describer.answer(images, asked))


def names(describer: Describer, image: np.ndarray) -> list[str] | None:
    """What the model lists as names of things, at most ten, without numbers and bullets.

    None where the list comes to no end.
    """
    answer = describer.answer([image], _NAMES)
    if answer is None:
        return None
    listed = re.split(r"[,\n]", answer.lower())
    bare = (_BULLET.sub("", " ".join(name.split())).strip(" .") for name in listed)
    return [name for name in dict.fromkeys(bare) if name][:_MOST_NAMES]


def is_name(text: str) -> bool:
    """Longer texts are no names."""
    return 0 < len(text.split()) <= _MOST_WORDS


def _turn(question: str, answer: str | None) -> Turn | None:
    said = (answer or "").strip()
    return Turn(question, said) if said else None


def _is_question(text: str) -> bool:
    return text.endswith("?") and "\n" not in text and len(text) > 1
