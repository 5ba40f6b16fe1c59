"""Closed form against itself and against MuJoCo."""

import mujoco
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from takt.embodiments.nut_station.spec import JOINT_LIMIT_RAD, JOINTS
from takt.simulation.nut_station.kinematics import (
    BASE_Y_M,
    FOREARM_M,
    SHOULDER_HEIGHT_M,
    TOOL_M,
    UPPER_ARM_M,
    joints_from_tip,
    tip_from_joints,
)

SIDES = st.sampled_from(["left", "right"])
REACHABLE = st.tuples(st.floats(0.2, 0.5), st.floats(-0.2, 0.2), st.floats(0.03, 0.3))
YAW = st.floats(-1.0, 1.0)


def tip_of(side, point):
    """A world point in front of `side`'s base."""
    return np.array([point[0], point[1] + BASE_Y_M[side], point[2]])


@given(SIDES, REACHABLE, YAW)
def test_joints_and_tip_are_inverse(side, point, yaw):
    tip = tip_of(side, point)
    joints = joints_from_tip(side, tip, yaw)
    assert np.all(np.abs(joints) <= JOINT_LIMIT_RAD)
    found, turned = tip_from_joints(side, joints)
    np.testing.assert_allclose(found, tip, atol=1e-9)
    assert turned == pytest.approx(yaw)


@given(SIDES, REACHABLE, YAW)
def test_mujoco_puts_the_tip_there(station, side, point, yaw):
    tip = tip_of(side, point)
    data = mujoco.MjData(station.model)
    for name, angle in zip(JOINTS, joints_from_tip(side, tip, yaw), strict=True):
        data.joint(f"{side}_{name}").qpos[0] = angle
    mujoco.mj_kinematics(station.model, data)
    site = data.site(f"{side}_tip")
    np.testing.assert_allclose(site.xpos, tip, atol=1e-9)
    axes = site.xmat.reshape(3, 3)
    np.testing.assert_allclose(axes[:, 0], [0, 0, -1], atol=1e-9)  # the tool points down
    # the jaws close along y of the hand, which stands `yaw` off the world's
    np.testing.assert_allclose(np.abs(axes[:, 1] @ [-np.sin(yaw), np.cos(yaw), 0]), 1, atol=1e-9)


def test_out_of_reach_is_pulled_back():
    side, far = "left", np.array([2.0, BASE_Y_M["left"], 0.1])
    found, _ = tip_from_joints(side, joints_from_tip(side, far, 0.0))
    wrist = found + [0, 0, TOOL_M] - [0, BASE_Y_M[side], SHOULDER_HEIGHT_M]
    assert np.linalg.norm(wrist) == pytest.approx(UPPER_ARM_M + FOREARM_M)
    assert wrist[2] / wrist[0] == pytest.approx((0.1 + TOOL_M - SHOULDER_HEIGHT_M) / 2.0)
