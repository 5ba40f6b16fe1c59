"""What only a GPU runs: recorded graphs, 8-bit products, a device that is not the current one."""

from dataclasses import replace

import pytest
import torch
from policies.xr0.chunks import HORIZON, draw, one_prompt, random_model
from torch.nn.functional import cosine_similarity

from takt.policies.xr0.config import TRAINING_TIME_RTC, XR0_POSTTRAIN
from takt.policies.xr0.engine import Engine
from takt.policies.xr0.quantisation import MODES, quantise

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device"),
]


def sampled(model, inputs, chunk):
    """What `XR0.sample` gives on the model's device for (state, mask, noise, prefix)."""
    device = model.sink.weight.device
    state, mask, noise, prefix = (x.to(device) for x in chunk)
    return model.sample(inputs.to(device), state, mask, noise, prefix)


@pytest.mark.parametrize("mode", [None, *MODES])
@pytest.mark.parametrize("compiled", [False, True])
def test_graphs_plan_what_sample_does(prompts, mode, compiled):
    """With other images, words, states and prefixes: a graph must read its buffers anew."""
    model = random_model(XR0_POSTTRAIN).to("cuda", torch.bfloat16)
    if mode is not None:
        quantise(model, mode)
    inputs = one_prompt(prompts)
    engine = Engine(model, inputs, HORIZON, compiled=compiled)
    for seed, prefixed in ((0, 0), (1, 3), (2, 5)):
        state, mask, noise, clean = draw(model.config, 1, seed)
        chunk = state, mask, noise, clean[:, :prefixed]
        words = inputs.input_ids.clone()
        words[0, -5] = 20 + seed
        other = replace(inputs, pixel_values=inputs.pixel_values.roll(seed, 0), input_ids=words)
        planned = engine.plan(other, *chunk)
        expected = sampled(model, other, chunk)
        for found in (planned, engine.refresh(*chunk)):
            flat = found.float().flatten(), expected.float().flatten()
            assert cosine_similarity(*flat, 0) > 0.995


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="torch finds no second GPU")
def test_a_device_that_is_not_the_current_one(prompts):
    model, inputs = random_model(XR0_POSTTRAIN).to("cuda:1"), one_prompt(prompts)
    chunk = draw(model.config, 1)
    planned = Engine(model, inputs, HORIZON).plan(inputs, *chunk)
    torch.testing.assert_close(planned, sampled(model, inputs, chunk), atol=1e-3, rtol=0)


def test_a_contract_without_an_engine_runs_on_a_gpu(prompts):
    model = random_model(TRAINING_TIME_RTC).cuda()
    state, mask, noise, clean = draw(model.config, 1)
    chunk = sampled(model, one_prompt(prompts), (state, mask, noise, clean[:, :3]))
    torch.testing.assert_close(chunk[:, :3].cpu(), clean[:, :3])
    assert torch.isfinite(chunk).all()
