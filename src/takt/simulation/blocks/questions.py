"""Questions about a scene and their answers: the toy's vision-language data."""

from collections.abc import Callable

import numpy as np

from takt.simulation.blocks.scene import COLOURS, Scene, draw, random_scene
from takt.transforms.image_points import point_text, read_point
from takt.types import Conversation, Turn

KINDS = ("where", "which", "exists", "paint")
CHANCE = {"where": 1 / 3, "which": 1 / 3, "exists": 1 / 2, "paint": 1 / 3}
"""Of one who sees the blocks but cannot tell which is which."""


def converse(rng: np.random.Generator) -> Conversation:
    """A random scene of three blocks and every kind of question about it, in random order.

    Several questions about one image are what teaches a small model to bind a word to a thing.
    """
    scene = random_scene(rng)
    turns = [where(scene, block.colour) for block in scene.blocks]
    turns += [which(scene, rng), exists(scene, rng), paint(scene, rng), paint(scene, rng)]
    order = rng.permutation(len(turns))
    image = draw(scene, rng.uniform(0, 1, 2))
    return Conversation(images=(image,), turns=tuple(turns[i] for i in order))


def where(scene: Scene, colour: str) -> Turn:
    """Grounding: the answer is of `point_text`."""
    return Turn(f"Where is the {colour} block?", point_text(scene.block(colour).centre))


def which(scene: Scene, rng: np.random.Generator) -> Turn:
    """The colour of the block that lies furthest to one side."""
    side, axis, sign = _SIDES[rng.integers(len(_SIDES))]
    block = max(scene.blocks, key=lambda block: sign * block.centre[axis])
    return Turn(f"What colour is the {side} block?", block.colour)


def paint(scene: Scene, rng: np.random.Generator) -> Turn:
    """The colour of the block at a point: grounding the other way round."""
    block = scene.blocks[rng.integers(len(scene.blocks))]
    return Turn(f"What colour is at {point_text(block.centre)}?", block.colour)


def exists(scene: Scene, rng: np.random.Generator) -> Turn:
    """Whether there is a block of a colour; both answers are equally likely."""
    there = [block.colour for block in scene.blocks]
    absent = [colour for colour in COLOURS if colour not in there]
    answer = bool(rng.random() < 0.5)
    colour = rng.choice(there if answer else absent)
    return Turn(f"Is there a {colour} block?", "yes" if answer else "no")


def question(scene: Scene, kind: str, rng: np.random.Generator) -> Turn:
    """One of `kind`."""
    asks: dict[str, Callable[[], Turn]] = {
        "where": lambda: where(scene, scene.blocks[0].colour),
        "which": lambda: which(scene, rng),
        "exists": lambda: exists(scene, rng),
        "paint": lambda: paint(scene, rng),
    }
    return asks[kind]()


def is_right(scene: Scene, turn: Turn, answer: str) -> bool:
    """Whether `answer` is right: a point nearer than .1 and nearest to the block asked for."""
    point = read_point(turn.answer)
    if point is None:
        return answer.strip() == turn.answer
    found = read_point(answer)
    if found is None:
        return False
    block = scene.nearest(found)
    is_near = np.hypot(*(found - np.array(block.centre))) < 0.1
    return bool(is_near) and where(scene, block.colour).question == turn.question


_SIDES = (("leftmost", 0, -1), ("rightmost", 0, 1), ("topmost", 1, -1), ("lowest", 1, 1))
