"""The engine gives the chunks of `XR0.sample`, from a prompt or from kept keys and values."""

from dataclasses import replace

import pytest
import torch

from takt.policies.xr0.config import HF_RELEASE, XR0_POSTTRAIN
from takt.policies.xr0.engine import Engine
from takt.policies.xr0.model import XR0
from takt.policies.xr0.presets import nano

HORIZON = 10
TOLERANCE = 1e-5


def random_model(contract):
    torch.manual_seed(0)
    model = XR0(nano(contract)).eval()
    for weight in model.parameters():
        weight.data += torch.randn_like(weight) * 0.05
    return model


@pytest.fixture(scope="module")
def models():
    return {contract.name: random_model(contract) for contract in (HF_RELEASE, XR0_POSTTRAIN)}


def draw(config, batch, seed=0):
    """State, action mask with a hidden dimension, noise and clean actions."""
    generator = torch.Generator().manual_seed(seed)
    state = torch.randn(batch, config.state_length, config.state_dim, generator=generator)
    noise, clean = torch.randn(2, batch, HORIZON, config.action_dim, generator=generator)
    mask = torch.ones(1, HORIZON, config.action_dim)
    mask[..., 3] = 0
    return state, mask, noise, clean


def one_prompt(prompts):
    """The first prompt alone, without its padding."""
    length = int(prompts.attention_mask[0].sum())
    images = len(prompts.image_grid_thw) // 2
    return replace(
        prompts,
        input_ids=prompts.input_ids[:1, :length],
        attention_mask=None,
        pixel_values=prompts.pixel_values[: len(prompts.pixel_values) // 2],
        image_grid_thw=prompts.image_grid_thw[:images],
        position_ids=prompts.position_ids[:, :1, :length],
    )


@pytest.mark.parametrize("contract", [HF_RELEASE, XR0_POSTTRAIN], ids=lambda c: c.name)
@pytest.mark.parametrize("padded", [False, True])
def test_equals_sample(models, prompts, contract, padded):
    model, inputs = models[contract.name], prompts if padded else one_prompt(prompts)
    state, mask, noise, clean = draw(model.config, len(inputs.input_ids))
    engine = Engine(model, inputs, HORIZON)
    for prefix in (None, clean[:, :4], clean[:, :0], clean):
        expected = model.sample(inputs, state, mask, noise, prefix)
        planned = engine.plan(inputs, state, mask, noise, prefix)
        torch.testing.assert_close(planned, expected, atol=TOLERANCE, rtol=0)
        assert torch.equal(engine.refresh(state, mask, noise, prefix), planned)
