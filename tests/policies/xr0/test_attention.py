"""Who sees whom: prefix, window and offset, in the mask and in the network."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from takt.policies.xr0.config import HF_RELEASE, TRAINING_TIME_RTC, XR0_POSTTRAIN
from takt.policies.xr0.masks import causal_mask, dit_mask, dit_positions, hide_prefix

LEAD, HORIZON, PROMPT = 2, 16, 3
CPU = torch.device("cpu")


def test_window_rows():
    mask = dit_mask(None, PROMPT, LEAD, HORIZON, XR0_POSTTRAIN, CPU)[0, 0]
    assert mask[:, :PROMPT].all()
    own = mask[:, PROMPT:]
    assert own[0].tolist() == [True] + [False] * (LEAD + HORIZON - 1)
    seen = own[LEAD + 9].nonzero().flatten().tolist()
    assert seen == [0, 1, *(LEAD + step for step in range(5, 10))]


def test_released_contract_sees_all_earlier_actions_and_no_padding():
    padding = torch.tensor([[0, 1, 1], [1, 1, 1]])
    mask = dit_mask(padding, PROMPT, LEAD, HORIZON, HF_RELEASE, CPU)
    assert not mask[0, 0, :, 0].any()
    assert mask[1, 0, :, 0].all()
    assert mask[0, 0, -1, 1:].all()


def test_padding_leaves_no_empty_row():
    mask = causal_mask(torch.tensor([[0, 0, 1, 1]]))[0, 0]
    assert mask.any(1).all()
    assert mask[3].tolist() == [False, False, True, True]


def test_noisy_actions_stand_apart_from_their_own_prefix():
    prefix = torch.tensor([0, 3])
    positions = dit_positions(torch.full((3, 2), 20), LEAD, 5, prefix, 10)[0]
    assert positions[0].tolist() == [21, 22, 33, 34, 35, 36, 37]
    assert positions[1].tolist() == [21, 22, 23, 24, 25, 36, 37]


def test_only_noisy_actions_lose_sight_of_hidden_ones():
    mask = dit_mask(None, PROMPT, LEAD, HORIZON, XR0_POSTTRAIN, CPU)
    hidden = torch.zeros(1, HORIZON, dtype=torch.bool)
    hidden[0, [0, 2, 5]] = True  # 5 is noisy in both rows
    changed = hide_prefix(mask, hidden, torch.tensor([4, 0]))
    assert torch.equal(changed[1], mask[0])
    lost = (mask[0, 0] & ~changed[0, 0]).nonzero() - torch.tensor([LEAD, PROMPT + LEAD])
    assert lost.tolist() == [[4, 0], [4, 2], [5, 2], [6, 2]]


@pytest.fixture
def draw(model):
    generator = torch.Generator().manual_seed(0)
    shape = (2, HORIZON, model.config.action_dim)
    noise = torch.randn(shape, generator=generator)
    state = torch.randn((2, 1, model.config.state_dim), generator=generator)
    return state, noise, torch.ones(shape)


def test_prefix_reaches_only_its_window(model, prompts, draw):
    """Through L layers an action is felt L * w steps later, and not one further."""
    state, noise, mask = draw
    layers, window = model.config.dit.num_hidden_layers, model.config.contract.local_window
    reach = layers * window
    assert reach + 1 < HORIZON
    tau = torch.tensor([0.3, 0.8])
    with torch.no_grad():
        cache = model.encode(prompts)
        first = model.velocity(cache, state, noise, tau, mask, 1)
        moved = noise.clone()
        moved[:, 0] += 1
        second = model.velocity(cache, state, moved, tau, mask, 1)
    change = (first - second).abs().amax((0, 2))
    assert change[0] == 0
    assert (change[1 : window + 1] > 1e-6).all()
    assert change[reach + 1 :].max() < 1e-6


def test_noisy_actions_do_not_feel_hidden_ones(model, prompts, draw):
    state, noise, mask = draw
    tau, moved = torch.tensor([0.3, 0.8]), noise.clone()
    moved[:, 0] += 1
    hidden = torch.arange(HORIZON)[None] < 3
    with torch.no_grad():
        cache = model.encode(prompts)
        seen, blind = (
            [model.velocity(cache, state, x, tau, mask, 3, hide) for x in (noise, moved)]
            for hide in (None, hidden)
        )
    assert (seen[0] - seen[1]).abs()[:, 3:].max() > 1e-6
    torch.testing.assert_close(blind[0], blind[1], atol=1e-6, rtol=0)


@pytest.fixture
def conditioned(model):
    """The same weights where clean actions stand at flow time 1; and where they do not."""
    released, config = model.config, model.config

    def set_time(name):
        contract = replace(TRAINING_TIME_RTC, prefix_time=name)
        model.config = replace(config, contract=contract)
        return model

    yield set_time
    model.config = released


def test_clean_actions_stand_at_their_own_time(conditioned, prompts, draw):
    state, noise, mask = draw
    tau = torch.tensor([0.3, 0.8])
    with torch.no_grad():
        cache = conditioned("one").encode(prompts)
        none, shared, own = (
            {
                name: conditioned(name).velocity(cache, state, noise, at, mask, length)
                for name in ("chunk", "one")
            }
            for length, at in ((0, tau), (3, tau), (torch.tensor([0, 3]), tau))
        )
        at_one = {
            name: conditioned(name).velocity(cache, state, noise, torch.ones(2), mask, 3)
            for name in ("chunk", "one")
        }
    torch.testing.assert_close(none["one"], none["chunk"], atol=1e-6, rtol=0)
    torch.testing.assert_close(at_one["one"], at_one["chunk"], atol=1e-6, rtol=0)
    assert (shared["one"] - shared["chunk"]).abs()[:, 3:].max() > 1e-4
    torch.testing.assert_close(own["one"][0], none["one"][0], atol=1e-6, rtol=0)
    torch.testing.assert_close(own["one"][1], shared["one"][1], atol=1e-6, rtol=0)


def test_deployment_gives_clean_actions_the_time_of_training(conditioned, prompts, draw):
    state, noise, mask = draw
    prefix = torch.randn_like(noise)[:, :3]
    model = conditioned("one")
    with torch.no_grad():
        cache, chunk = model.encode(prompts), torch.cat((prefix, noise[:, 3:]), 1)
        for step in range(2):
            tau = torch.full((2,), step / 2)
            chunk = chunk + model.velocity(cache, state, chunk, tau, mask, 3) / 2
    sampled = model.sample(cache, state, mask, noise, prefix, steps=2)
    torch.testing.assert_close(sampled, chunk, atol=1e-5, rtol=0)


def test_a_full_prefix_comes_back(model, prompts, draw):
    state, noise, mask = draw
    prefix = torch.randn_like(noise)
    torch.testing.assert_close(model.sample(prompts, state, mask, noise, prefix), prefix)


def test_prefix_length_per_sample_is_that_of_each_alone(model, prompts, draw):
    state, noise, mask = draw
    tau, lengths = torch.tensor([0.2, 0.6]), torch.tensor([0, 3])
    with torch.no_grad():
        cache = model.encode(prompts)
        together = model.velocity(cache, state, noise, tau, mask, lengths)
        for row, length in enumerate(lengths.tolist()):
            alone = model.velocity(cache, state, noise, tau, mask, length)
            torch.testing.assert_close(together[row], alone[row])
    assert not together[1, :3].any()


def test_padding_does_not_change_a_prompt(model, processor, prompts, draw, spec):
    """The shorter prompt of the padded batch gives what it gives alone."""
    state, noise, mask = draw
    short = prompts.attention_mask[1].bool()
    alone = processor(
        [np.zeros((1, camera.height, camera.width, 3), np.uint8) for camera in spec.cameras],
        ["Fold the towel."],
    )
    assert alone.input_ids[0].tolist() == prompts.input_ids[1][short].tolist()
    patches = len(prompts.pixel_values) // 2
    alone = type(alone)(
        input_ids=alone.input_ids,
        attention_mask=None,
        pixel_values=prompts.pixel_values[patches:],
        image_grid_thw=alone.image_grid_thw,
        position_ids=alone.position_ids,
    )
    both = model.sample(prompts, state, mask, noise)
    one = model.sample(alone, state[1:], mask[1:], noise[1:])
    torch.testing.assert_close(both[1:], one, atol=2e-5, rtol=0)


def test_repeated_and_rebuilt_caches_sample_alike(model, prompts, draw):
    state, noise, mask = draw
    with torch.no_grad():
        cache = model.encode(prompts)
    chunk = model.sample(cache, state, mask, noise)
    twice = model.sample(
        cache.repeat(2), state.repeat_interleave(2, 0), mask[:1], noise.repeat_interleave(2, 0)
    )
    torch.testing.assert_close(twice[::2], chunk, atol=1e-5, rtol=0)
    torch.testing.assert_close(twice[1::2], chunk, atol=1e-5, rtol=0)


def test_velocity_and_sample_agree_over_steps(model, prompts, draw):
    state, noise, mask = draw
    with torch.no_grad():
        cache, chunk = model.encode(prompts), noise
        for step in range(3):
            tau = torch.full((2,), step / 3)
            chunk = chunk + model.velocity(cache, state, chunk, tau, mask) / 3
    sampled = model.sample(cache, state, mask, noise, steps=3)
    torch.testing.assert_close(sampled, chunk, atol=1e-5, rtol=0)
