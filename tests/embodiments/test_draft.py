"""A drafted file says the body that a reader would have written, and can be read."""

from dataclasses import replace

import numpy as np
import pytest

from takt.embodiments import load_embodiment
from takt.embodiments.draft import DraftError, Recording, draft_body

JOINTS = tuple(f"joint_{number}" for number in range(6))


def recording(actions, state=None, offset=0.05, cameras=("front", "wrist")):
    return Recording(
        name="toy",
        rate_hz=29.97,
        instruction='Say "hi".',
        cameras=dict.fromkeys(cameras, (48, 64)),
        state=actions if state is None else state,
        actions=actions,
        low=np.full(len(actions), -1.0),
        high=np.full(len(actions), 2.0),
        offset=offset if state is None else None,
    )


def drafted(tmp_path, *args, layout=None, **kwargs):
    path = tmp_path / "body.toml"
    path.write_text(draft_body(recording(*args, **kwargs), layout), encoding="utf-8")
    return load_embodiment(path)


def test_an_arm_lies_in_the_left_half_of_the_released_columns(tmp_path):
    body = drafted(tmp_path, (*JOINTS, "gripper.pos"))
    assert body.slots == (7, 8, 9, 10, 11, 12, 6)
    assert body.relative == (True,) * 6 + (False,)
    assert body.state_space is None
    assert (body.name, body.rate_hz, body.instruction) == ("toy", 29.97, 'Say "hi".')
    assert body.action_space.low == pytest.approx(np.full(7, -1.3))
    assert [camera.view for camera in body.cameras] == ["Ego View", "Left-Wrist View"]


@pytest.mark.parametrize(("low", "high"), [(2047.0, 2049.0), (1234.1, 1234.3), (5000.0, 5000.0)])
def test_bounds_hold_a_small_range_far_from_zero(tmp_path, low, high):
    ends = {"low": np.full(6, low), "high": np.full(6, high)}
    path = tmp_path / "body.toml"
    path.write_text(draft_body(replace(recording(JOINTS), **ends)), encoding="utf-8")
    space = load_embodiment(path).action_space
    assert (space.low < low).all()
    assert (space.high > high).all()


def test_two_arms_lie_in_both_halves(tmp_path):
    one = ("waist", "shoulder", "elbow", "roll", "pitch", "rotate", "extra", "gripper")
    axes = tuple(f"{side}_{name}" for side in ("left", "right") for name in one)
    body = drafted(tmp_path, axes, cameras=("cam_right_wrist", "cam_left_wrist", "cam_high"))
    left = (7, 8, 9, 10, 11, 12, 13, 6)
    assert body.slots == left + (21, 22, 23, 24, 25, 26, 27, 20)
    views = {camera.name: camera.view for camera in body.cameras}
    assert views == {
        "cam_high": "Ego View",
        "cam_right_wrist": "Right-Wrist View",
        "cam_left_wrist": "Left-Wrist View",
    }


def test_actions_far_from_the_state_are_not_relative(tmp_path):
    assert not any(drafted(tmp_path, JOINTS, offset=1.5).relative)


def test_a_state_of_other_axes_gets_columns_of_its_own(tmp_path):
    body = drafted(tmp_path, (*JOINTS, "gripper"), JOINTS)
    assert (body.state_names, body.state_slots) == (JOINTS, (7, 8, 9, 10, 11, 12))
    assert not any(body.relative)


def test_a_tool_pose_is_known_by_its_names(tmp_path):
    body = drafted(tmp_path, ("x", "y", "z", "roll", "pitch", "yaw", "gripper"), ("a", "b"))
    assert body.slots == tuple(range(7))
    assert body.action_space.units == ("m",) * 3 + ("rad",) * 3 + ("",)
    assert body.cameras[0].view == "Base View"


def test_what_nobody_knows_counts_up(tmp_path):
    fingers = tuple(f"motor_{number}" for number in range(20))
    assert drafted(tmp_path, fingers).slots == tuple(range(20))


def test_views_differ(tmp_path):
    body = drafted(tmp_path, JOINTS, cameras=("a", "b", "wrist_1", "wrist_2", "wrist_3"))
    views = [camera.view for camera in body.cameras]
    assert len(set(views)) == 5


def test_a_known_layout_takes_its_columns_by_position(tmp_path):
    motors = tuple(f"motor_{number}" for number in range(8))
    cameras = ("image_1", "image_2")
    body = drafted(tmp_path, motors[:7], motors, layout="bridge", cameras=cameras)
    assert body.slots == tuple(range(7))
    assert body.state_names == (*motors[:6], "motor_7")  # column 6 of Bridge states is padding
    assert body.state_slots == (0, 1, 2, 3, 4, 5, 7)
    assert [(camera.name, camera.view) for camera in body.cameras] == [("image_1", "Base View")]


@pytest.mark.parametrize(
    ("change", "layout", "named"),
    [
        ({"cameras": {}}, None, "0 cameras.*observation.images"),
        ({"actions": ()}, None, "0 action axes"),
        ({"actions": tuple(f"m{i}" for i in range(40))}, None, "at most 32 axes.*40.*--body"),
        ({}, "libero", "7 action axes of layout 'libero'.*got 6: joint_0.*--body"),
        ({}, "kitchen", "unknown layout.*libero"),
    ],
)
def test_what_cannot_be_guessed_says_what_to_write(change, layout, named):
    with pytest.raises(Exception, match=named) as caught:
        draft_body(replace(recording(JOINTS), **change), layout)
    assert isinstance(caught.value, DraftError) or layout == "kitchen"
