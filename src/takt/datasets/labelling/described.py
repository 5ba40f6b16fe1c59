"""What a vision-language model is asked to write: captions, questions, plans, names of things."""

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


def caption(describer: Describer, image: np.ndarray) -> Turn | None:
    """None where the model says nothing."""
    answer = describer.answer([image], CAPTION).strip()
    return Turn(CAPTION, answer) if answer else None


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
        ).strip()
        answer = describer.answer([image], asked).strip() if _is_question(asked) else ""
        turns.append(Turn(asked, answer) if answer else None)
    return turns


def plan(describer: Describer, images: Sequence[np.ndarray], instruction: str) -> Turn | None:
    """The steps of a task, seen from its beginning."""
    asked = (
        f"The robot is asked: {instruction} Which steps does it have to take? List them in order, "
        "one a line, numbered."
    )
    answer = describer.answer(images, asked).strip()
    return Turn(asked, answer) if answer else None


def names(describer: Describer, image: np.ndarray) -> list[str]:
    """Names of things in the image, at most ten; longer texts are no names."""
    listed = describer.answer([image], _NAMES).lower().strip(" .\n").split(",")
    found = dict.fromkeys(" ".join(name.split()) for name in listed)
    return [name for name in found if 0 < len(name.split()) <= _MOST_WORDS][:_MOST_NAMES]


def _is_question(text: str) -> bool:
    return text.endswith("?") and "\n" not in text and len(text) > 1
