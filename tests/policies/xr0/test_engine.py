"""The engine gives the chunks of `XR0.sample`, from a prompt or from kept keys and values."""

from dataclasses import replace

import pytest
import torch
from policies.xr0.chunks import HORIZON, draw, one_prompt, random_model
from torch.nn.functional import cosine_similarity

from takt.policies.common.rotary import vision_rotary
from takt.policies.xr0.chunk_inputs import ChunkInputError
from takt.policies.xr0.config import HF_RELEASE, TRAINING_TIME_RTC, XR0_POSTTRAIN
from takt.policies.xr0.dit import _time_frequencies
from takt.policies.xr0.engine import Engine
from takt.policies.xr0.engine_cpu import KeptLayers
from takt.policies.xr0.engine_flow import FlowLoop
from takt.policies.xr0.engine_layers import FusedLayers
from takt.policies.xr0.engine_layout import EngineError
from takt.policies.xr0.lora import add_adapters
from takt.policies.xr0.quantisation import MODES, QuantisedLinear, quantise
from takt.types import TaktError

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def models():
    return {contract.name: random_model(contract) for contract in (HF_RELEASE, XR0_POSTTRAIN)}


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


@pytest.mark.parametrize("layers", [KeptLayers, FusedLayers])
def test_every_row_has_a_prefix_of_its_own(models, prompts, layers):
    model, lengths = models[XR0_POSTTRAIN.name], ((0, 6), (3, 1), (3, 6))
    state, mask, noise, clean = draw(model.config, 2)
    with torch.inference_mode():
        cache = model.encode(prompts)
        loop = FlowLoop(model, cache, HORIZON, 5, layers=layers)
        loop.load(cache)
        for counts in lengths:
            loop.begin(state, mask, noise, clean[:, :6], counts)
            loop()
            for row, count in enumerate(counts):
                expected = model.sample(cache, state, mask, noise, clean[:, :count])
                torch.testing.assert_close(loop.chunk[row], expected[row], atol=TOLERANCE, rtol=0)


def test_refresh_acts_on_the_kept_prompt(models, prompts):
    model, inputs = models[XR0_POSTTRAIN.name], one_prompt(prompts)
    other = replace(inputs, pixel_values=-inputs.pixel_values)
    state, mask, noise, _ = draw(model.config, 1)
    newer = draw(model.config, 1, seed=1)[0]
    engine = Engine(model, inputs, HORIZON)
    engine.plan(other, state, mask, noise)
    refreshed = engine.refresh(newer, mask, noise)
    expected = model.sample(other, newer, mask, noise)
    torch.testing.assert_close(refreshed, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("steps", [1, 3])
def test_other_numbers_of_steps(models, prompts, steps):
    model, inputs = models[HF_RELEASE.name], one_prompt(prompts)
    state, mask, noise, _ = draw(model.config, 1)
    planned = Engine(model, inputs, HORIZON, steps=steps).plan(inputs, state, mask, noise)
    expected = model.sample(inputs, state, mask, noise, steps=steps)
    torch.testing.assert_close(planned, expected, atol=TOLERANCE, rtol=0)


def test_layers_of_a_gpu_give_the_same(models, prompts):
    """The layers that graphs and compilers run, run here as they are."""
    model, inputs = models[XR0_POSTTRAIN.name], prompts
    state, mask, noise, clean = draw(model.config, 2)
    with torch.inference_mode():
        cache = model.encode(inputs)
        loop = FlowLoop(model, cache, HORIZON, 5, layers=FusedLayers)
        loop.load(cache)
        loop.begin(state, mask, noise, clean[:, :3])
        loop()
    expected = model.sample(cache, state, mask, noise, clean[:, :3])
    torch.testing.assert_close(loop.chunk, expected, atol=TOLERANCE, rtol=0)


def test_the_model_still_works(models, prompts):
    """Its weights move to joint storage; their values and its own passes stay."""
    model, inputs = models[HF_RELEASE.name], prompts
    state, mask, noise, _ = draw(model.config, 2)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    expected = model.sample(inputs, state, mask, noise)
    Engine(model, inputs, HORIZON)
    assert all(torch.equal(before[name], x) for name, x in model.state_dict().items())
    torch.testing.assert_close(model.sample(inputs, state, mask, noise), expected)


def test_another_layout_or_shape_is_refused(models, prompts):
    model, inputs = models[HF_RELEASE.name], one_prompt(prompts)
    state, mask, noise, clean = draw(model.config, 1)
    engine = Engine(model, inputs, HORIZON)
    with pytest.raises(EngineError, match="ids_shape"):
        engine.plan(prompts, state, mask, noise)
    moved = replace(inputs, position_ids=inputs.position_ids + 1)
    with pytest.raises(EngineError, match="position_ids"):
        engine.plan(moved, state, mask, noise)


def bad_chunks(state, mask, noise, clean):
    """What is wrong, and the arguments."""
    return {
        "state": (state.repeat(2, 1, 1), mask, noise, clean),
        "noise": (state, mask, noise[..., 1:], clean),
        "action_mask": (state, mask[:, 1:], noise, clean),
        "prefix": (state, mask, noise, torch.cat((clean, clean), dim=1)),
        "prefix: expected shape": (state, mask, noise, clean[..., :1]),
        "state.*finite": (state * torch.nan, mask, noise, clean),
        "noise.*finite": (state, mask, noise / 0, clean),
        "prefix.*finite": (state, mask, noise, clean / 0),
    }


def test_a_chunk_of_another_shape_or_without_a_value_is_refused(models, prompts):
    model, inputs = models[HF_RELEASE.name], one_prompt(prompts)
    engine = Engine(model, inputs, HORIZON)
    for fault, arguments in bad_chunks(*draw(model.config, 1)).items():
        for plan in (engine.plan, model.sample):
            with pytest.raises(ChunkInputError, match=fault):
                plan(inputs, *arguments)
    for lengths in ([1, 1], [HORIZON + 1], [-1]):
        with pytest.raises(ChunkInputError, match="lengths"):
            engine.plan(inputs, *draw(model.config, 1), lengths)
    with pytest.raises(ChunkInputError, match="step"):
        model.sample(inputs, *draw(model.config, 1), steps=0)
    with pytest.raises(ChunkInputError, match="step"):
        Engine(model, inputs, HORIZON, steps=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("mode", [None, *MODES])
def test_every_precision_plans_what_sample_does(prompts, mode, dtype):
    model, inputs = random_model(XR0_POSTTRAIN).to(dtype), one_prompt(prompts)
    if mode is not None:
        quantise(model, mode)
    state, mask, noise, clean = draw(model.config, 1)
    planned = Engine(model, inputs, HORIZON).plan(inputs, state, mask, noise, clean[:, :3])
    expected = model.sample(inputs, state, mask, noise, clean[:, :3])
    assert cosine_similarity(planned.float().flatten(), expected.float().flatten(), 0) > 0.995


def test_a_second_engine_shares_the_weights_of_the_first(prompts):
    model, inputs = random_model(HF_RELEASE), one_prompt(prompts)
    Engine(model, inputs, HORIZON)
    before = [weight.data_ptr() for weight in model.parameters()]
    state, mask, noise, _ = draw(model.config, 1)
    planned = Engine(model, inputs, HORIZON).plan(inputs, state, mask, noise)
    assert before == [weight.data_ptr() for weight in model.parameters()]
    expected = model.sample(inputs, state, mask, noise)
    torch.testing.assert_close(planned, expected, atol=TOLERANCE, rtol=0)


def test_adapters_are_not_dropped_in_silence(prompts):
    model = random_model(HF_RELEASE)
    add_adapters(model, 2)
    with pytest.raises(TaktError, match="merge_adapters"):
        Engine(model, one_prompt(prompts), HORIZON)
    with pytest.raises(TaktError, match="merge_adapters"):
        quantise(model, "int8")


def test_a_cast_leaves_eight_bits_alone():
    model = quantise(random_model(HF_RELEASE), "fp8").bfloat16()
    (layer, *_) = (x for x in model.modules() if isinstance(x, QuantisedLinear))
    assert (layer.weight.element_size(), layer.codes.dtype) == (1, torch.float8_e4m3fn)


def test_the_model_trains_after_an_inference(prompts):
    model, inputs = random_model(HF_RELEASE), one_prompt(prompts)
    state, mask, noise, clean = draw(model.config, 1)
    vision_rotary.cache_clear()
    _time_frequencies.cache_clear()
    with torch.inference_mode():
        model.sample(inputs, state, mask, noise)
        Engine(model, inputs, HORIZON)
    cache = model.encode(inputs)
    model.velocity(cache, state, clean, torch.full((1,), 0.5), mask).sum().backward()
    assert model.sink.weight.grad is not None


def test_clean_actions_at_a_time_of_their_own_are_refused(prompts):
    model = random_model(TRAINING_TIME_RTC)
    with pytest.raises(EngineError, match=r"training_time_rtc.*XR0\.sample"):
        Engine(model, one_prompt(prompts), HORIZON)
