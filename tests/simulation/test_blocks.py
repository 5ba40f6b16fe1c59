"""The blocks table: what is drawn is what is asked about, and following the plan succeeds."""

import numpy as np
import pytest

from takt.simulation.blocks.questions import (
    KINDS,
    converse,
    is_right,
    question,
    where,
)
from takt.simulation.blocks.scene import APART, COLOURS, draw, random_scene
from takt.simulation.blocks.table import EPISODE_TICKS, BlocksTable, plan
from takt.types import TaktError, Turn


@pytest.mark.parametrize("seed", range(5))
def test_a_block_is_drawn_where_it_lies_in_its_colour(seed):
    scene = random_scene(np.random.default_rng(seed))
    image = draw(scene)
    assert np.array_equal(image, draw(scene))
    for block in scene.blocks:
        column, row = (int(64 * x) for x in block.centre)
        seen = image[row - 1 : row + 2, column - 1 : column + 2].mean((0, 1))
        distances = {name: np.abs(seen - rgb).sum() for name, rgb in COLOURS.items()}
        assert min(distances, key=lambda name: distances[name]) == block.colour
    centres = np.array([block.centre for block in scene.blocks])
    gaps = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    assert gaps[~np.eye(3, dtype=bool)].min() > APART


@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_is_right_and_others_are_not(kind):
    rng = np.random.default_rng(1)
    for _ in range(20):
        scene = random_scene(rng)
        turn = question(scene, kind, rng)
        assert is_right(scene, turn, turn.answer)
        wrong = [where(scene, block.colour).answer for block in scene.blocks[1:]]
        others = {"yes", "no", *COLOURS} - {turn.answer}
        for answer in ("", "12", "purple-ish", *wrong, *others):
            assert not is_right(scene, turn, answer)


def test_questions_are_about_the_scene():
    talk = converse(np.random.default_rng(4))
    there = {t.question.split()[3] for t in talk.turns if t.question.startswith("Where")}
    assert len(there) == 3
    for turn in talk.turns:
        if turn.question.startswith("Is there"):
            assert turn.answer == ("yes" if turn.question.split()[3] in there else "no")
        if turn.question.startswith("What"):
            assert turn.answer in there
    assert sum(turn.question.startswith("What colour is at") for turn in talk.turns) == 2
    assert isinstance(talk.turns[0], Turn)


@pytest.mark.parametrize("seed", [0, 1, 3, 4])  # 2 starts on its block
def test_following_the_plan_succeeds_and_staying_does_not(seed):
    table = BlocksTable()
    for follows in (True, False):
        table.reset(seed)
        assert table.target.colour in table.observe().instruction
        for _ in range(EPISODE_TICKS):
            tip = table.observe().state
            table.act(plan(tip, np.array(table.target.centre), 1)[0] if follows else tip)
        assert table.finished
        assert table.success == follows


def test_a_target_that_is_no_number_is_refused():
    with pytest.raises(TaktError, match="finite"):
        BlocksTable().act(np.array([np.nan, 0], np.float32))
