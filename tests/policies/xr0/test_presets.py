"""Named sizes, a user's own, and how both go through `config.json`."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from takt.policies.common.flow import flow_loss
from takt.policies.xr0.cache import VLMCache
from takt.policies.xr0.checkpoint import (
    BodyStatistics,
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from takt.policies.xr0.config import HF_RELEASE, XR0_POSTTRAIN, DiTConfig
from takt.policies.xr0.model import XR0
from takt.policies.xr0.presets import PRESETS, cpu_bench, nano, preset_or_file, xr0_4_7b
from takt.policies.xr0.released_config import from_json, to_json
from takt.policies.xr0.tokenizer import SPECIAL_TOKENS
from takt.transforms.normalise import Normalise
from takt.transforms.slots import Slots
from takt.transforms.states import StateTransform
from takt.types import TaktError


def successor(contract=XR0_POSTTRAIN):
    """60 columns, four states, a DiT layer per VLM layer, three DiT heads per VLM head."""
    dit = DiTConfig(hidden_size=192, num_hidden_layers=3, head_dim=32, mlp_ratio=3)
    return replace(nano(contract), dit=dit, state_length=4, state_dim=60, action_dim=60)


def test_cpu_bench_is_the_released_model_an_eighth_as_wide():
    small, released = cpu_bench(), xr0_4_7b()
    for part in ("text", "vision", "dit"):
        narrow, wide = getattr(small, part), getattr(released, part)
        for width in {"hidden_size", "intermediate_size", "head_dim"} & set(type(narrow).__slots__):
            assert 8 * getattr(narrow, width) == getattr(wide, width), (part, width)
    assert len(small.kv_layers) == small.dit.num_hidden_layers == 16
    assert (small.text.num_hidden_layers, small.vision.depth) == (36, 24)
    assert small.text.num_attention_heads == released.text.num_attention_heads
    assert small.dit.num_heads == released.dit.num_heads == small.text.num_key_value_heads
    assert small.vision.deepstack_visual_indexes == (5, 11, 17)
    with torch.device("meta"):
        names = XR0(small).state_dict().keys()
    assert len(names) == 932


@pytest.mark.parametrize("name", ["nano", "cpu-bench"])
def test_small_presets_speak_the_own_tokenizer(name):
    ids = PRESETS[name]().token_ids
    assert SPECIAL_TOKENS[ids.image] == "<|image_pad|>"
    assert SPECIAL_TOKENS[ids.vision_start] == "<|vision_start|>"


@pytest.mark.parametrize("factory", [*PRESETS.values(), successor])
def test_every_size_survives_its_file(factory, tmp_path):
    config = factory()
    (tmp_path / "config.json").write_text(json.dumps(to_json(config)))
    assert preset_or_file(tmp_path) == config
    assert preset_or_file(tmp_path / "config.json", HF_RELEASE).contract == HF_RELEASE


def test_a_name_is_a_preset():
    assert preset_or_file("4.7b") == xr0_4_7b()
    assert preset_or_file("cpu-bench", XR0_POSTTRAIN) == cpu_bench(XR0_POSTTRAIN)


def test_what_is_neither_preset_nor_config_says_so(tmp_path):
    with pytest.raises(TaktError, match=r"nano, cpu-bench, 4\.7b"):
        preset_or_file("huge")
    broken = tmp_path / "mine.json"
    broken.write_text("{")
    with pytest.raises(TaktError, match=r"mine\.json is not valid JSON"):
        preset_or_file(broken)
    data = to_json(nano())
    del data["vlm_config"]["text_config"]["rope_parameters"]["rope_theta"]
    with pytest.raises(TaktError, match="rope_theta"):
        from_json(data)
    for wrong in ([], {**to_json(nano()), "dit_config": {"hidden_size": 64}}):
        broken.write_text(json.dumps(wrong))
        with pytest.raises(TaktError, match="not an XR-0 config"):
            preset_or_file(broken)


def test_sizes_that_do_not_fit_are_refused():
    config, vision = nano(), nano().vision
    with pytest.raises(TaktError, match="multiple of head_dim"):
        DiTConfig(hidden_size=100, num_hidden_layers=1, head_dim=32)
    with pytest.raises(TaktError, match="key/value heads"):
        replace(config, dit=DiTConfig(hidden_size=96, num_hidden_layers=1, head_dim=32))
    with pytest.raises(TaktError, match=r"1\.\.3"):
        replace(config, dit=replace(config.dit, num_hidden_layers=4))
    with pytest.raises(TaktError, match="num_key_value_heads"):
        replace(config.text, num_attention_heads=5)
    for change in (
        {"hidden_size": 90},
        {"num_position_embeddings": 60},
        {"deepstack_visual_indexes": (2,)},
    ):
        with pytest.raises(TaktError, match=next(iter(change))):
            replace(vision, **change)


def test_a_successor_trains_and_is_stored_whole(tokenizer, tmp_path):
    """Statistics of 60 columns, gradients through four states, a round trip of the directory."""
    torch.manual_seed(0)
    model = XR0(successor())
    rng = np.random.default_rng(0)
    mean, std = rng.uniform(0.1, 1, (2, 5, 60)).astype(np.float32)
    statistics = BodyStatistics(
        action=Normalise(mean, std), state=Normalise(mean[:1], std[:1]), execute_horizon=3
    )
    states = torch.from_numpy(
        StateTransform(Slots(tuple(range(20)), 60), statistics.state).forward(
            rng.normal(size=(2, 4, 20))
        )
    ).requires_grad_()
    heads = model.config.text.num_key_value_heads
    kv = tuple(torch.randn(2, heads, 7, 32) for _ in model.config.kv_layers)
    cache = VLMCache(keys=kv, values=kv, attention_mask=None, max_position=torch.full((3, 2), 6))
    noisy = torch.randn(2, 5, 60)
    shown = torch.from_numpy(statistics.action.mask)[None]
    velocity = model.velocity(cache, states, noisy, torch.tensor([0.1, 0.6]), shown, 1)
    flow_loss(velocity, noisy, torch.zeros_like(noisy), shown).backward()
    assert states.grad is not None
    assert (states.grad.abs().sum(-1) > 0).all()

    save_checkpoint(
        tmp_path, Checkpoint(model=model, tokenizer=tokenizer, bodies={"two-armed": statistics})
    )
    loaded = load_checkpoint(tmp_path)
    assert loaded.model.config == model.config
    assert (loaded.body("two-armed").action.std == std).all()
    with torch.no_grad():
        again = loaded.model.velocity(cache, states, noisy, torch.tensor([0.1, 0.6]), shown, 1)
    torch.testing.assert_close(again, velocity, atol=1e-5, rtol=0)


def test_a_state_of_another_shape_is_refused():
    with torch.device("meta"):
        model = XR0(successor())
        with pytest.raises(TaktError, match="4 states, 60 columns"):
            model.lead_tokens(torch.zeros(2, 1, 60))
        assert model.lead_tokens(torch.zeros(2, 4, 60)).shape == (2, 5, 192)
