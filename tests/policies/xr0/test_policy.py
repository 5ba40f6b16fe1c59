from dataclasses import replace

import numpy as np
import pytest
import torch

from takt.policies.xr0.checkpoint import save_checkpoint
from takt.policies.xr0.config import HF_RELEASE
from takt.policies.xr0.model import XR0
from takt.policies.xr0.planner import ObservationError
from takt.policies.xr0.policy import XR0Policy
from takt.policies.xr0.presets import nano
from takt.policies.xr0.weights import CheckpointError
from takt.types import ActionChunk

HORIZON = 10


@pytest.fixture
def policy(checkpoint, spec):
    return XR0Policy(checkpoint, spec)


def test_a_loaded_policy_plans_like_the_one_saved(policy, checkpoint, spec, observation, tmp_path):
    save_checkpoint(tmp_path, checkpoint)
    loaded = XR0Policy.load(tmp_path, spec)
    assert (loaded.chunk_horizon, loaded.execute_horizon) == (HORIZON, 4)
    policy.reset(3)
    loaded.reset(3)
    ours, theirs = policy.infer(observation, None), loaded.infer(observation, None)
    assert (ours.actions == theirs.actions).all()


def test_chunk_is_absolute_bounded_and_stamped(policy, spec, observation):
    chunk = policy.infer(observation, None)
    assert (chunk.stamp, chunk.dt) == (observation.stamp, spec.dt)
    assert chunk.actions.shape == (HORIZON, len(spec.slots))
    assert (chunk.actions >= spec.action_space.low).all()
    assert (chunk.actions <= spec.action_space.high).all()
    # Training offsets were a few centiradians: a relative axis stays near the state.
    assert np.abs(chunk.actions[0, 0] - observation.state[0]) < 0.3


def test_seed_fixes_every_draw(policy, observation):
    def episode(seed):
        policy.reset(seed)
        return [policy.infer(observation, None).actions for _ in range(2)]

    first, again, other = episode(1), episode(1), episode(2)
    assert (first[0] == again[0]).all()
    assert (first[1] == again[1]).all()
    assert (first[0] != first[1]).any()
    assert (first[0] != other[0]).any()


def test_global_randomness_is_left_alone(policy, observation):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    policy.infer(observation, None)
    assert torch.equal(before, torch.get_rng_state())


def test_committed_actions_open_the_chunk(policy, observation, committed, spec):
    policy.reset(0)
    free = policy.infer(observation, None)
    policy.reset(0)
    chunk = policy.infer(observation, committed)
    due = np.clip(committed.actions[2:8], spec.action_space.low, spec.action_space.high)
    assert (chunk.actions[:6] == due).all()
    assert (chunk.actions[6] != free.actions[6]).any()


def test_at_most_six_actions_are_committed(policy, observation, committed, spec):
    long = replace(committed, actions=np.repeat(committed.actions, 2, axis=0))
    short = replace(long, actions=long.actions[: 2 + 6])
    policy.reset(0)
    first = policy.infer(observation, long)
    policy.reset(0)
    assert (first.actions == policy.infer(observation, short).actions).all()


def test_a_contract_without_prefix_ignores_committed_actions(
    checkpoint, spec, observation, committed
):
    torch.manual_seed(0)
    policy = XR0Policy(replace(checkpoint, model=XR0(nano(HF_RELEASE))), spec)
    policy.reset(0)
    free = policy.infer(observation, None)
    policy.reset(0)
    assert (policy.infer(observation, committed).actions == free.actions).all()


def test_misaligned_commitments_are_refused(policy, observation, committed, spec):
    for stamp in (observation.stamp + 0.4 * spec.dt, observation.stamp - 1.0, 9.0):
        with pytest.raises(ObservationError, match="committed"):
            policy.infer(observation, replace(committed, stamp=stamp))
    slow = ActionChunk(stamp=observation.stamp, dt=2 * spec.dt, actions=committed.actions)
    with pytest.raises(ObservationError, match="ticks of"):
        policy.infer(observation, slow)


def test_committed_actions_of_another_body_or_without_a_value_are_refused(
    policy, observation, committed
):
    nan = committed.actions.copy()
    nan[4, 2] = np.nan
    for actions in (nan, committed.actions[:, :13]):
        with pytest.raises(ObservationError, match="14 finite numbers"):
            policy.infer(observation, replace(committed, actions=actions))


def test_a_checkpoint_runs_in_the_dtype_asked_for(checkpoint, spec, observation, tmp_path):
    save_checkpoint(tmp_path / "half", checkpoint, torch.float16)
    save_checkpoint(tmp_path / "bfloat16", checkpoint, torch.bfloat16)
    exact = XR0Policy.load(tmp_path / "bfloat16", spec).infer(observation, None)
    for dtype in (torch.bfloat16, None):
        rounded = XR0Policy.load(tmp_path / "bfloat16", spec, dtype=dtype).infer(observation, None)
        assert 0 < np.abs(rounded.actions - exact.actions).max() < 0.01
    half = [
        XR0Policy.load(tmp_path / "half", spec, dtype=dtype).infer(observation, None)
        for dtype in (torch.float32, None)
    ]
    assert (half[0].actions == half[1].actions).all()  # float16 is for files, not for arithmetic


def test_bad_observations_are_named(policy, observation):
    nan = observation.state.copy()
    nan[3] = np.nan
    with pytest.raises(ObservationError, match="left_wrist_pitch"):
        policy.infer(replace(observation, state=nan), None)
    with pytest.raises(ObservationError, match="14 axes"):
        policy.infer(replace(observation, state=nan[:5]), None)
    blind = dict(list(observation.images.items())[:2])
    stamps = dict.fromkeys(blind, 2.0)
    with pytest.raises(ObservationError, match="right_wrist"):
        policy.infer(replace(observation, images=blind, image_stamps=stamps), None)
    small = {name: image[::2] for name, image in observation.images.items()}
    with pytest.raises(ObservationError, match=r"\(64, 64, 3\)"):
        policy.infer(replace(observation, images=small), None)


def test_another_body_is_refused(checkpoint, spec):
    with pytest.raises(CheckpointError, match="nut-station"):
        XR0Policy(checkpoint, replace(spec, name="other-station"))


def test_another_instruction_gets_a_prompt_of_its_own(policy, checkpoint, spec, observation):
    """The engine kept from the first instruction must not answer the second."""
    other = replace(observation, instruction="Fold the towel, then stop.")

    def plan(planner, seen):
        planner.reset(0)
        return planner.infer(seen, None).actions

    first, second = plan(policy, observation), plan(policy, other)
    assert np.abs(first - second).max() > 0
    assert (plan(XR0Policy(checkpoint, spec), other) == second).all()
    assert (plan(policy, observation) == first).all()


def test_warming_up_changes_no_plan(checkpoint, spec, observation):
    cold, warm = XR0Policy(checkpoint, spec), XR0Policy(checkpoint, spec)
    warm.warm_up()
    assert (cold.infer(observation, None).actions == warm.infer(observation, None).actions).all()
