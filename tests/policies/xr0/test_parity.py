"""Numbers recorded from the released code on tiny random weights (tests/data/parity/README.md)."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from takt.policies.common.qwen3_vl import encode_images
from takt.policies.xr0.cache import PromptInputs
from takt.policies.xr0.config import CONTRACTS, XR0_POSTTRAIN
from takt.policies.xr0.images import pack_patches
from takt.policies.xr0.masks import dit_positions
from takt.policies.xr0.processor import rotary_positions
from takt.policies.xr0.released_config import from_json
from takt.policies.xr0.weights import load_weights
from takt.transforms.normalise import Normalise

DATA = Path(__file__).parents[2] / "data" / "parity"
TOLERANCE = 1e-4


class Case:
    """One recorded directory."""

    def __init__(self, name):
        self.directory = DATA / name
        data = json.loads((self.directory / "config.json").read_text())
        self.fixture = data["fixture"]
        self.config = from_json(data, CONTRACTS[self.fixture["contract"]])
        self.inputs = load_file(self.directory / "inputs.safetensors")
        self.outputs = load_file(self.directory / "outputs.safetensors")

    def model(self, **changes):
        return load_weights(replace(self.config, **changes), self.directory / "model.safetensors")

    def recorded(self, variant):
        """Outputs of one variant; those of the whole case have no dot-prefix of a variant."""
        others = [*self.fixture.get("variants", []), "prefix0.", "prefix2."]
        if variant:
            return {
                k.removeprefix(variant): v for k, v in self.outputs.items() if k.startswith(variant)
            }
        return {k: v for k, v in self.outputs.items() if not k.startswith(tuple(others))}

    def prompt(self):
        x = self.inputs
        positions = [
            rotary_positions(ids.tolist(), self.grids(), self.config) for ids in x["input_ids"]
        ]
        return PromptInputs(
            input_ids=x["input_ids"],
            attention_mask=x["attention_mask"],
            pixel_values=x["pixel_values"],
            image_grid_thw=x["image_grid_thw"],
            position_ids=torch.from_numpy(np.stack(positions, axis=1)),
        )

    def grids(self):
        return [(rows, columns) for _, rows, columns in self.inputs["image_grid_thw"].tolist()]


def trace(case, model, *, steps=5, prefix=0, noise=None):
    """Every intermediate that the fixtures record, by its recorded name."""
    x = case.inputs
    noise = x["noise"] if noise is None else noise
    clean = x["action"][:, :prefix] if prefix else None
    prompt, mask = case.prompt(), x["action_mask"].to(model.dtype)
    cache = model.encode(prompt)
    out = trace_vlm(case, model, prompt, cache)
    out |= trace_layout(model, cache, noise.shape[1], prefix)
    out |= trace_flow(model, cache, x["state"], mask, noise, clean, steps)
    out["actions"] = model.sample(prompt, x["state"], mask, noise, clean, steps)
    if "stats.mean" in x:
        mean, std = x["stats.mean"].numpy(), x["stats.std"].numpy()
        statistics = Normalise(mean, std, model.config.contract.decode_eps)
        out["decoded"] = torch.from_numpy(statistics.inverse(out["actions"].numpy()))
        out["mask_from_stats"] = torch.from_numpy(statistics.mask)[None]
    return out


def trace_vlm(case, model, prompt, cache):
    pixels = prompt.pixel_values.to(model.dtype)
    visual = encode_images(model.vlm.model.visual, pixels, case.grids(), model.config.rotary)
    out = {"vlm.position_ids": prompt.position_ids, "vlm.image_embeds": visual.embeds}
    out |= {f"vlm.deepstack.{i}": level for i, level in enumerate(visual.deepstack)}
    for number, key, value in zip(model.config.kv_layers, cache.keys, cache.values, strict=True):
        out |= {f"vlm.k.{number}": key, f"vlm.v.{number}": value}
    return out


def trace_layout(model, cache, horizon, prefix):
    (cos, sin), mask = model.token_layout(cache, horizon, prefix, model.dtype)
    lead, offset = 1 + model.config.state_length, model.config.contract.rope_offset
    positions = dit_positions(cache.max_position, lead, horizon, prefix, offset)
    names = ("dit.cos", "dit.sin", "dit.attn_mask", "dit.position_ids")
    return dict(zip(names, (cos[:, 0], sin[:, 0], mask, positions), strict=True))


def trace_flow(model, cache, state, mask, noise, clean, steps):
    """Integrate by hand over `velocity`, recording the first step's hidden states."""
    out, prefix = {}, 0 if clean is None else clean.shape[1]
    for number, layer in enumerate(model.dit.layers):

        def record(_, inputs, output, number=number):
            out.setdefault(f"dit.layer_out.0.{number}", output)
            if number == 0:
                out.setdefault("dit.in.0", inputs[0])

        layer.register_forward_hook(record)
    chunk = noise.to(model.dtype, copy=True)
    if clean is not None:
        chunk[:, :prefix] = clean
    for step in range(steps):
        tau = torch.full((len(noise),), step / steps)
        out[f"dit.t_embeds.{step}"] = model.t_projector(model.t_embedder(tau))
        out[f"velocity.{step}"] = model.velocity(cache, state, chunk, tau, mask, prefix)
        chunk = chunk + out[f"velocity.{step}"] / steps
    return out


def compare(recorded, computed, tolerance=TOLERANCE):
    """Every recorded tensor is compared; none is skipped for want of a name."""
    assert recorded
    assert set(recorded) - set(computed) == set()
    for name, expected in recorded.items():
        actual = computed[name].expand(expected.shape).float()
        difference = (actual - expected.float()).abs().max().item()
        assert difference <= tolerance, f"{name}: {difference:.2e}"


@pytest.fixture(scope="module", autouse=True)
def _no_gradient():
    with torch.no_grad():
        yield


@pytest.mark.parametrize("name", ["hf_release", "hf_release_b1"])
def test_released_contract(name):
    case = Case(name)
    compare(case.recorded(""), trace(case, case.model()))


@pytest.mark.parametrize("prefix", [0, 2])
def test_posttraining_contract(prefix):
    case = Case("xr0_posttrain")
    computed = trace(case, case.model(), prefix=prefix)
    compare(case.recorded(f"prefix{prefix}."), computed)
    compare(case.recorded(""), computed)


def test_more_flow_steps():
    case = Case("hf_release_b1")
    compare(case.recorded("steps10."), trace(case, case.model(), steps=10))


def test_rounded_rotary_frequencies():
    case = Case("hf_release_b1")
    compare(case.recorded("rope_bf16."), trace(case, case.model(rotary="bfloat16")))


def test_whole_model_in_bfloat16():
    case = Case("hf_release_b1")
    model = case.model(rotary="bfloat16").bfloat16()
    computed = trace(case, model, noise=case.inputs["bf16.noise"])
    compare(case.recorded("bf16."), computed, tolerance=0.1)


def test_same_weights_under_the_other_contract():
    case = Case("hf_release_b1")
    computed = trace(case, case.model(contract=XR0_POSTTRAIN))
    compare(case.recorded("as_xr0_posttrain."), computed)
    own = case.recorded("")["actions"]
    assert (computed["actions"] - own).abs().max() > 0.01


@pytest.mark.parametrize("name", ["hf_release", "hf_release_b1", "xr0_posttrain"])
def test_images_pack_as_the_released_processor_packs_them(name):
    case = Case(name)
    images = sorted(key for key in case.inputs if key.startswith("image.") and key[6:].isdigit())
    patches = [pack_patches(case.inputs[key][None], case.config.vision)[0] for key in images]
    torch.testing.assert_close(torch.cat(patches), case.inputs["pixel_values"], atol=1e-6, rtol=0)
