"""Questions from frames: the answer is the recorded point, or that it is hidden."""

from dataclasses import replace

import numpy as np
import pytest

from takt.training.frame_questions import UNSEEN, FrameQuestions
from takt.transforms.image_points import read_point
from takt.types import TaktError

NAMES = ("cup", "plate")


def test_the_answer_is_the_recorded_point(frames):
    points = frames.points.copy()
    points[:, 0, 0], points[:, 0, 1], points[:, 1] = np.linspace(-1, 1, len(frames)), 0.25, 3.0
    asked = FrameQuestions([replace(frames, points=points)], NAMES)
    talk = asked(np.random.default_rng(0))
    answers = {turn.question: turn.answer for turn in talk.turns}
    found = read_point(answers["Where is the cup?"])
    assert answers["Where is the plate?"] == UNSEEN
    stored = frames.images[:, 0].reshape(len(frames), -1)
    (row,) = np.flatnonzero((stored == talk.images[0].reshape(1, -1)).all(1))
    assert found == pytest.approx((points[row, 0] + 1) / 2, abs=0.011)


def test_more_names_than_points_are_refused(frames):
    with pytest.raises(TaktError, match="point for each of"):
        FrameQuestions([frames], [str(number) for number in range(99)])
