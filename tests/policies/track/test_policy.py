import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from takt.embodiments.track.spec import SPEC
from takt.policies.track.checkpoint import TrackCheckpointError, load, serialise
from takt.policies.track.config import HORIZON, NETWORKS, STREAMED, Network, TrackConfig
from takt.policies.track.correction import LOOK_AHEAD, CorrectionHead, TrackCorrector
from takt.policies.track.model import TrackDiT
from takt.policies.track.policy import Job, TrackPlanner, TrackPolicy
from takt.policies.track.sampling import guidance_weights, sample_guided, streaming_times
from takt.policies.xr0.config import DiTConfig
from takt.types import ActionChunk, Observation

DIT = DiTConfig(hidden_size=16, num_hidden_layers=1, head_dim=8, mlp_ratio=2)


def network(name: Network, horizon: int = 12) -> TrackDiT:
    torch.manual_seed(0)
    return TrackDiT(TrackConfig(network=name, dit=DIT, horizon=horizon)).eval()


def seen(stamp: float = 0.0, seed: int = 0) -> Observation:
    state = np.random.default_rng(seed).uniform(-0.3, 0.3, 8).astype(np.float32)
    return Observation(
        stamp=stamp, images={}, image_stamps={}, state=state, instruction=SPEC.instruction
    )


def promised(count: int) -> ActionChunk:
    actions = np.linspace(-0.2, 0.2, 2 * count, dtype=np.float32).reshape(count, 2)
    return ActionChunk(stamp=0.0, dt=SPEC.dt, actions=actions)


@pytest.mark.parametrize("name", ["training_time_rtc", "lambda"])
def test_committed_actions_come_back_as_the_chunks_start(name):
    policy, committed = TrackPolicy(TrackPlanner(network(name))), promised(3)
    chunk = policy.infer(seen(), committed)
    np.testing.assert_allclose(chunk.actions[:3], committed.actions, atol=1e-6)
    again = policy.infer(seen(seed=1), committed)  # its own last plan is no prefix
    assert np.abs(again.actions[3:] - chunk.actions[3:]).max() > 1e-4
    policy.reset(0)
    free = policy.infer(seen(), None)
    assert np.abs(free.actions[3:] - chunk.actions[3:]).max() > 1e-4


@pytest.mark.parametrize("name", NETWORKS)
def test_a_batch_plans_what_each_would_plan_alone(name):
    planner = TrackPlanner(network(name), guided=name == "plain")
    jobs = [(0, None), (1, promised(3)), (2, promised(3))]
    alone = []
    for seed, committed in jobs:
        policy = TrackPolicy(planner)
        policy.reset(seed)
        alone.append(policy.infer(seen(seed=seed), committed).actions)
    together = planner.plan([Job(planner.begin(s), seen(seed=s), c) for s, c in jobs])
    for one, chunk in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, chunk.actions, atol=1e-5)


def test_guidance_pulls_the_chunk_to_the_old_plan():
    model = network("plain")
    state, noise = torch.zeros(2, 8), torch.randn(2, 12, 2)
    old = torch.full((2, 12, 2), 1.5)
    weights = guidance_weights(12, 3, 8)[None]
    free = sample_guided(model, state, noise, old, weights * 0)
    guided = sample_guided(model, state, noise, old, weights)
    before, after = (free - old).abs()[:, :3].mean(), (guided - old).abs()[:, :3].mean()
    assert after < 0.2 * before


def test_guidance_may_look_at_committed_actions_only():
    model = network("plain")
    plans = {}
    for steps in (0, 4, None):
        policy = TrackPolicy(TrackPlanner(model, guided=True, guided_steps=steps))
        policy.infer(seen(), None)
        plans[steps] = policy.infer(seen(seed=1), None).actions
    policy = TrackPolicy(TrackPlanner(model))
    policy.infer(seen(), None)
    np.testing.assert_allclose(plans[0], policy.infer(seen(seed=1), None).actions, atol=1e-6)
    assert np.abs(plans[4] - plans[0]).max() > 1e-4
    assert np.abs(plans[4] - plans[None]).max() > 1e-4


def test_the_soft_mask_is_the_published_one():
    c = (7 - torch.arange(3, 7)) / (7 - 3 + 1)  # (H - s - i) / (H - s - d + 1), H - s = 7, d = 3
    wanted = c * (c.exp() - 1) / (math.e - 1)
    torch.testing.assert_close(guidance_weights(10, 3, 7)[3:7], wanted)


def test_the_soft_mask_falls_from_one_to_zero():
    weights = guidance_weights(10, 3, 7)
    assert (weights[:3] == 1).all()
    assert (weights[7:] == 0).all()
    assert (weights[2:8].diff() < 0).all()


def test_leading_actions_are_finished_after_one_step():
    times = streaming_times(torch.tensor([1.0, 0.8, 0.0]), 24, 5)
    assert (times[0] == 0).all()
    assert torch.allclose(times[1, :STREAMED], torch.ones(STREAMED), atol=1e-5)
    assert (times[1, STREAMED:].diff() < 0).all()
    assert (times[2] == 1).all()


def test_a_file_brings_the_network_back(tmp_path):
    model = network("lambda")
    model.action_std.fill_(0.25)
    path = tmp_path / "lambda.safetensors"
    path.write_bytes(serialise(model))
    found = load(path)
    assert found.config == replace(model.config)
    assert torch.equal(found.action_std, torch.full((12, 2), 0.25))
    torch.testing.assert_close(found.sink.weight, model.sink.weight, atol=1e-2, rtol=1e-2)
    path.write_bytes(b"something else")
    with pytest.raises(TrackCheckpointError, match="takt bench delay"):
        load(path)


def test_the_head_in_the_control_loop_is_the_head_that_was_trained(tmp_path):
    torch.manual_seed(1)
    head = CorrectionHead()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    path = tmp_path / "head.safetensors"
    path.write_bytes(head.serialise())
    observation, chunk = seen(), promised(HORIZON)
    mended = TrackCorrector.load(path).correct(observation, chunk, 5)
    planned = torch.from_numpy(chunk.actions[None, 5 : 5 + LOOK_AHEAD])
    state = torch.from_numpy(observation.state[None])
    change = head(state, planned, torch.tensor([5.0]))[0].detach().numpy()
    np.testing.assert_allclose(mended, chunk.actions[5] + change, atol=1e-5)
    assert np.abs(change).max() > 1e-3
    with pytest.raises(TrackCheckpointError, match="correction head"):
        TrackCorrector.load(tmp_path / "none.safetensors")
