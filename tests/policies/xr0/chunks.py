"""A random model and the inputs of its chunks."""

from dataclasses import replace

import torch

from takt.policies.xr0.model import XR0
from takt.policies.xr0.presets import nano

HORIZON = 10


def random_model(contract):
    torch.manual_seed(0)
    model = XR0(nano(contract)).eval()
    for weight in model.parameters():
        weight.data += torch.randn_like(weight) * 0.05
    return model


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
