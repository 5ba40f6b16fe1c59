"""The open-loop error of policies whose plans are known."""

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import tiny
import torch

from takt.policies.xr0.model import XR0
from takt.training.body_statistics import fit_body
from takt.training.frames import stack_episodes
from takt.training.validation import open_loop_error
from takt.transforms.actions import ActionTransform


class Planner:
    """Stands for a model: answers chunk after chunk, whatever it sees."""

    def __init__(self, chunks):
        self.chunks = list(chunks)
        self.sink = SimpleNamespace(weight=torch.zeros(1))

    def sample(self, inputs, state, mask, noise):
        answer, self.chunks = self.chunks[: len(state)], self.chunks[len(state) :]
        return torch.stack(answer)


@pytest.fixture(scope="module")
def actions(frames):
    statistics = fit_body([frames], tiny.BODY, tiny.MODEL, horizon=tiny.HORIZON, execute=2)
    return ActionTransform.of(tiny.BODY, statistics.action)


def truth(frames, actions):
    chunks, _ = frames.chunk(np.arange(len(frames)), tiny.HORIZON)
    return torch.from_numpy(actions.forward(chunks, frames.state))


def measured(chunks, batcher, frames, actions):
    return open_loop_error(cast(XR0, Planner(chunks)), batcher, frames, actions)


def test_a_perfect_plan_has_no_error(frames, batcher, actions):
    error = measured(truth(frames, actions), batcher, frames, actions)
    assert error.frames == len(frames)
    np.testing.assert_allclose(error.by_axis, 0, atol=1e-6)
    np.testing.assert_allclose(error.by_step, 0, atol=1e-5)
    assert (error.mean_action > 0.3).all()


def test_an_offset_of_one_deviation_counts_one_in_the_bodys_units(frames, batcher, actions):
    error = measured(truth(frames, actions) + 1, batcher, frames, actions)
    deviation = actions.slots.inverse(actions.normalise.std)
    np.testing.assert_allclose(error.by_axis, deviation, rtol=1e-3)
    np.testing.assert_allclose(error.by_step, 1, rtol=1e-3)
    shown = error.to_json(tiny.BODY)
    assert np.shape(shown["error_by_step_and_axis"]) == (tiny.HORIZON, len(tiny.AXES))


def test_steps_past_every_end_have_no_error(batcher, actions):
    one = stack_episodes([tiny.episode(0, ticks=1)], tiny.BODY, tiny.POINTS_KEY)
    error = measured(torch.zeros(1, tiny.HORIZON, 32), batcher, one, actions)
    assert np.isfinite(error.by_axis[0]).all()
    assert error.to_json(tiny.BODY)["error_by_step_std"][1:] == [None] * (tiny.HORIZON - 1)
