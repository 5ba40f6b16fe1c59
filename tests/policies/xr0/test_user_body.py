"""A body from a file goes through the policy: seven joints, a gripper, two cameras of odd size."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from takt.embodiments import load_embodiment
from takt.policies.xr0.checkpoint import BodyStatistics, Checkpoint
from takt.policies.xr0.planner import ObservationError
from takt.policies.xr0.policy import XR0Policy
from takt.transforms.actions import fit_action_statistics
from takt.types import Observation, StateSpace

HORIZON = 6


@pytest.fixture(scope="module")
def arm():
    return load_embodiment(Path(__file__).parents[3] / "examples" / "desk_arm.toml")


def knows(model, tokenizer, body):
    """A checkpoint with statistics of small random steps of `body`."""
    axes = len(body.slots)
    walk = np.random.default_rng(0).normal(0, 0.01, (32, HORIZON, axes)).cumsum(1)
    chunks = walk.astype(np.float32), np.zeros((32, axes), np.float32), np.ones((32, HORIZON), bool)
    action = fit_action_statistics([chunks], body, 32, 1e-6)
    known = BodyStatistics(action=action, state=None, execute_horizon=HORIZON)
    return Checkpoint(model=model, tokenizer=tokenizer, bodies={body.name: known})


def seen_by(body, state):
    images = {
        camera.name: np.full((camera.height, camera.width, 3), 90, np.uint8)
        for camera in body.cameras
    }
    return Observation(
        stamp=1.0,
        images=images,
        image_stamps=dict.fromkeys(images, 1.0),
        state=np.asarray(state, np.float32),
        instruction=body.instruction,
    )


def test_a_single_arm_gets_a_chunk_of_its_own_axes(model, tokenizer, arm):
    policy = XR0Policy(knows(model, tokenizer, arm), arm)
    pose = [0.5, 0.2, -0.5, -1.0, 0.3, 1.0, 0.7, 0.04]
    chunk = policy.infer(seen_by(arm, pose), None)
    assert chunk.actions.shape == (HORIZON, 8)
    assert chunk.dt == pytest.approx(0.05)
    # Joints are relative to the pose, a few centiradians off; the gripper is absolute around 0.
    assert np.abs(chunk.actions[:, :7] - pose[:7]).max() < 0.4
    moved = policy.infer(seen_by(arm, pose[:7] + [0.01]), None)
    assert moved.actions.shape == chunk.actions.shape


def test_a_state_may_have_axes_of_its_own(model, tokenizer, arm):
    body = replace(
        arm,
        relative=(False,) * 8,
        state_space=StateSpace(names=("x", "y", "grip"), slots=(0, 1, 6)),
    )
    policy = XR0Policy(knows(model, tokenizer, body), body)
    assert policy.infer(seen_by(body, [0.1, 0.2, 0.0]), None).actions.shape == (HORIZON, 8)
    with pytest.raises(ObservationError, match="grip"):
        policy.infer(seen_by(body, [0.1, 0.2, np.nan]), None)
    with pytest.raises(ObservationError, match="3 axes"):
        policy.infer(seen_by(body, [0.0] * 8), None)
