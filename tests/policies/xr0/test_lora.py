"""Adapters start as nothing, learn alone, and vanish into the weights."""

import copy

import pytest
import torch
from torch import nn

from takt.policies.xr0.lora import add_adapters, count_adapters, merge_adapters
from takt.types import TaktError


@pytest.fixture
def adapted(model):
    """A copy of the shared model with adapters that were moved off zero, and the two alone."""
    torch.manual_seed(0)
    mine = copy.deepcopy(model).requires_grad_(requires_grad=True)
    return mine, add_adapters(mine, 4)


def velocity(model, prompts):
    generator = torch.Generator().manual_seed(1)
    state, noisy = (torch.randn(2, n, 32, generator=generator) for n in (1, 5))
    return model.velocity(
        model.encode(prompts), state, noisy, torch.tensor([0.2, 0.7]), torch.ones(1, 5, 32)
    )


def test_new_adapters_change_nothing(model, adapted, prompts):
    ours, theirs = velocity(adapted[0], prompts), velocity(model, prompts)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_only_adapters_learn(model, adapted, prompts):
    mine, parameters = adapted
    velocity(mine, prompts).square().mean().backward()
    learnt = {name for name, p in mine.named_parameters() if p.grad is not None}
    assert learnt <= {
        name for name, _ in mine.named_parameters() if name.endswith((".up", ".down"))
    }
    moved = {name.rsplit(".", 1)[0] for name in learnt}
    for part in ("vlm.model.visual", "vlm.model.language_model", "dit.layers.0.mlp", "action_proj"):
        assert any(name.startswith(part) for name in moved), part
    assert sum(p.numel() for p in parameters) == count_adapters(model, 4)


def test_a_merged_model_is_the_adapted_one_under_the_released_names(model, adapted, prompts):
    mine, parameters = adapted
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(torch.randn_like(parameter) * 0.05)
    before = velocity(mine, prompts)
    assert (before - velocity(model, prompts)).abs().max() > 1e-2
    merge_adapters(mine)
    torch.testing.assert_close(velocity(mine, prompts), before, atol=1e-5, rtol=1e-4)
    assert mine.state_dict().keys() == model.state_dict().keys()
    assert not any(type(layer).__name__ == "AdaptedLinear" for layer in mine.modules())


def test_a_part_can_be_left_without(model):
    mine = copy.deepcopy(model)
    add_adapters(mine, 2, skip="vlm.")
    names = [name for name, p in mine.named_parameters() if p.requires_grad]
    assert names
    assert not any(name.startswith("vlm.") for name in names)


def test_a_rank_is_cut_to_the_layer():
    model = nn.Sequential(nn.Linear(3, 5))
    assert [p.shape for p in add_adapters(model, 16)] == [(3, 3), (5, 3)]


def test_a_rank_below_one_is_refused(model):
    with pytest.raises(TaktError, match="rank of at least 1"):
        add_adapters(copy.deepcopy(model), 0)
