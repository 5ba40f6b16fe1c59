"""A dataset on a body's own axes and cameras, or an error that names what does not fit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from takt.datasets.body import BodyEpisodes, describe
from takt.datasets.errors import (
    CameraMismatchError,
    CorruptFileError,
    FeatureMismatchError,
    RateMismatchError,
)
from takt.datasets.lerobot import LeRobotDataset
from takt.embodiments import load_embodiment
from takt.embodiments.draft import draft_body
from takt.types import ActionSpace

FIXTURE = Path(__file__).parents[1] / "data" / "lerobot" / "v21_image_0.3.2"


@pytest.fixture(scope="module")
def dataset():
    return LeRobotDataset.open(FIXTURE)


@pytest.fixture(scope="module")
def body(dataset, tmp_path_factory):
    path = tmp_path_factory.mktemp("body") / "body.toml"
    path.write_text(draft_body(describe(dataset)), encoding="utf-8")
    return load_embodiment(path)


def test_a_drafted_body_takes_every_axis(dataset, body):
    episodes = BodyEpisodes.of(dataset, body)
    ours, stored = episodes.episode(3), dataset.episode(3)
    np.testing.assert_array_equal(ours.actions, stored.actions)
    np.testing.assert_array_equal(ours.state, stored.state)
    assert ours.instructions[9:11] == ("把毛巾对折", "press the green button")


def test_axes_are_found_by_name_and_cameras_left_out(dataset, body):
    space = body.action_space
    few = replace(
        body,
        action_space=ActionSpace(
            names=("gripper", "joint_1"),
            units=("", "rad"),
            low=space.low[:2],
            high=space.high[:2],
        ),
        slots=(6, 8),
        relative=(False, False),
        cameras=body.cameras[1:],
    )
    ours, stored = BodyEpisodes.of(dataset, few).episode(0), dataset.episode(0)
    np.testing.assert_array_equal(ours.actions, stored.actions[:, [6, 1]])
    assert list(ours.images) == ["wrist"]


def test_the_offset_tells_targets_from_differences(dataset):
    assert describe(dataset).offset is None  # the state has no gripper
    assert describe(dataset).high.shape == (7,)


@pytest.mark.parametrize(
    ("change", "kind", "named"),
    [
        ({"rate_hz": 30.0}, RateMismatchError, "30 Hz.*got 10"),
        ({"state_space": None}, FeatureMismatchError, r"\['gripper'\].*observation.state.*own"),
    ],
)
def test_a_body_that_does_not_fit_says_where(dataset, body, change, kind, named):
    with pytest.raises(kind, match=named):
        BodyEpisodes.of(dataset, replace(body, **change))


def test_a_number_that_is_none_is_found_before_it_trains(dataset, body, monkeypatch):
    broken = dataset.episode(2)
    broken.state[4, 1] = np.nan
    monkeypatch.setattr(LeRobotDataset, "episode", lambda *_: broken)
    with pytest.raises(CorruptFileError, match=r"episode 2, frame 4.*got nan on axis 1 of obs"):
        BodyEpisodes.of(dataset, body).episode(2)


@pytest.mark.parametrize("change", [{"name": "roof"}, {"height": 97}])
def test_a_camera_that_does_not_fit_says_which(dataset, body, change):
    cameras = (replace(body.cameras[0], **change), body.cameras[1])
    with pytest.raises(CameraMismatchError, match=r"expected camera '(roof|front)'.*wrist"):
        BodyEpisodes.of(dataset, replace(body, cameras=cameras))
