"""The blocks table's questions as a benchmark: no file, its scenes are drawn from seeds.

A seed of evaluation fixes scene and question.
"""

import io
from collections.abc import Iterator

import numpy as np

from takt.benchmarks.vision_language.question import Question
from takt.benchmarks.vision_language.rows import Row
from takt.seeds import EVALUATION_BEGIN
from takt.simulation.blocks.questions import CHANCE, KINDS, is_right
from takt.simulation.blocks.questions import question as ask
from takt.simulation.blocks.scene import Scene, draw, random_scene
from takt.types import Turn

SCENES = 300


def questions() -> Iterator[Question]:
    """Every kind of question about every scene."""
    for seed in range(EVALUATION_BEGIN, EVALUATION_BEGIN + SCENES):
        for kind in KINDS:
            scene, tip, turn = _asked(seed, kind)
            yield Question(
                key=f"{seed} {kind}",
                where=f"blocks, seed {seed}, {kind}",
                images=(_png(draw(scene, tip)),),
                text=turn.question,
                answers=(turn.answer,),
                categories=(kind,),
            )


def judge(question: Question, reply: str) -> tuple[str, float]:
    """The reply, and whether it names the right colour or a point on the right block."""
    seed, kind = question.key.split()
    scene, _, turn = _asked(int(seed), kind)
    return reply.strip(), float(is_right(scene, turn, reply))


def chance(question: Question) -> float:
    """Of one who sees blocks but cannot tell which is which."""
    return CHANCE[question.categories[0]]


def no_file(row: Row) -> Question:
    """Its questions are drawn, not read."""
    raise row.error("the blocks' questions are drawn from seeds; leave --data out")


def _asked(seed: int, kind: str) -> tuple[Scene, np.ndarray, Turn]:
    rng = np.random.default_rng(seed)
    scene, tip = random_scene(rng), rng.uniform(0, 1, 2)
    return scene, tip, ask(scene, kind, rng)


def _png(image: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()
