"""Questions that a trajectory answers."""

import json

import numpy as np
import pytest

from takt.datasets.labelling.axes import Axes
from takt.datasets.labelling.config import LabelConfig
from takt.datasets.labelling.embodied_questions import EmbodiedQuestions, StateRange
from takt.datasets.labelling.point_trajectories import point_turns
from takt.types import Episode, TaktError

NAMES = ("x", "y", "z", "gripper")
TICKS, RATE = 20, 10.0


def episode(**changes):
    stamps = np.arange(TICKS) / RATE
    state = np.zeros((TICKS, len(NAMES)), np.float32)
    state[:, 1] = np.linspace(0, 1, TICKS)  # to the left
    state[:, 3] = np.where(np.arange(TICKS) < 10, 1.0, 0.0)
    content = {
        "embodiment": "toy",
        "instruction": "reach",
        "rate_hz": RATE,
        "stamps": stamps,
        "images": {"top": np.zeros((TICKS, 4, 4, 3), np.uint8)},
        "image_stamps": {"top": stamps},
        "state": state,
        "actions": state,
    }
    return Episode(**{**content, **changes})


ROS = ("forward", "left", "up")


def asked(tick, config=LabelConfig(horizon_s=0.5, directions=ROS), **changes):  # noqa: B008
    told = episode(**changes)
    ranges = StateRange(told.state.min(0), told.state.max(0))
    return EmbodiedQuestions(told, Axes.of(NAMES), ranges, config), tick


def answers(tick, **kwargs):
    questions, tick = asked(tick, **kwargs)
    return {turn.question.split(" over ")[0]: turn.answer for turn in questions.at(tick)}


def test_names_tell_what_axes_mean():
    names = ("left_ee_x", "left_ee_y", "left_ee_z", "left_rot_x", "left_jaw", "right_finger_1")
    axes = Axes.of((*names, "right_finger_2", "gripper_roll", "cup_x", "cup_y", "cup_z"))
    assert axes.hands == {"left hand": (0, 1, 2)}
    assert axes.grippers == {"left gripper": 4}  # two fingers are joints
    assert Axes.of(("panda_finger",)).grippers == {"gripper": 0}
    assert Axes.of(("x", "y", "z", "gripper.pos")) == Axes({"gripper": 3}, {"hand": (0, 1, 2)})
    assert Axes.of(("joint_0", "joint_1")) == Axes({}, {})


def test_the_trajectory_answers():
    found = answers(2)
    assert found["What is the robot asked to do here?"] == "reach"
    assert found["Is the gripper open?"] == "yes"
    assert found["What does the gripper do next, open or close?"] == "It closes."
    assert found["Which way does the hand move"] == "to the left"
    later = answers(15)
    assert later["Is the gripper open?"] == "no"
    assert "What does the gripper do next, open or close?" not in later
    assert "Which way does the hand move" not in later  # it would look behind the end
    other = LabelConfig(gripper_open="low", directions=("up", "backward", "left"))
    found = answers(2, config=other)
    assert found["Is the gripper open?"] == "no"
    assert found["Which way does the hand move"] == "backward"


def test_directions_are_asked_only_in_a_frame_that_is_named():
    assert not any("Which way" in asked for asked in answers(2, config=LabelConfig()))
    with pytest.raises(TaktError, match="--directions"):
        LabelConfig(directions=("up", "down", "left"))


def test_what_cannot_be_said_is_not_asked():
    state = episode().state.copy()
    state[:, 0] = state[:, 1]  # as far forward as to the left
    state[:, 3] *= 0.5
    state[0, 3] = 1.0
    found = answers(2, state=state)
    assert not any("hand" in question or "open?" in question for question in found)
    still = np.zeros_like(state)
    still[-1] = 1
    found = answers(2, state=still)
    assert found["Which way does the hand move"] == "It stays where it is."


def test_steps_are_a_plan():
    texts = ("pick",) * 5 + ("carry",) * 10 + ("place",) * 5
    questions, _ = asked(0, instructions=texts)
    plans = [questions.plan(tick) for tick in (0, 4, 5, 15)]
    assert [plan and plan.answer for plan in plans] == [
        "1. pick\n2. carry\n3. place",
        "1. pick\n2. carry\n3. place",
        "1. carry\n2. place",
        None,
    ]
    following = {turn.question: turn.answer for turn in questions.at(6)}
    assert following["What does the robot do next, after what it does now?"] == "place"


def test_points_that_are_seen_to_move_are_followed():
    tracks = np.full((TICKS, 8), 0.2, np.float32)  # the second rests
    tracks[:, 0] = np.linspace(-1, 1, TICKS)
    tracks[:, 4] = np.linspace(0, 3, TICKS)  # leaves the view
    config = LabelConfig(horizon_s=1.0, points=("nut", "pin", "bolt"))
    told = episode(extras={config.points_key: tracks})
    (turn,) = point_turns(told, 5, config)
    assert "nut" in turn.question
    points = [entry["point_2d"] for entry in json.loads(turn.answer)]
    assert len(points) == 8
    assert points[0] == [263, 600]
    assert points[-1] == [789, 600]
    assert point_turns(told, 15, config) == []


@pytest.mark.parametrize("bad", [{"every_s": 0}, {"overlap": 1.1}, {"votes": 0}])
def test_numbers_must_make_rows(bad):
    with pytest.raises(TaktError, match=next(iter(bad)).replace("_", "-")):
        LabelConfig(**bad)
