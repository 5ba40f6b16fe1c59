"""Numbers recorded from the released code on tiny random weights (tests/data/parity/README.md)."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from takt.policies.xr0.parity import check_parity
from takt.policies.xr0.parity_trace import trace
from takt.policies.xr0.parity_variant import split_name
from takt.types import TaktError

DATA = Path(__file__).parents[2] / "data" / "parity"


class Copy:
    """A case to change; `write` puts `inputs` and `outputs` into its directory."""

    def __init__(self, name, directory):
        shutil.copytree(DATA / name, directory, dirs_exist_ok=True)
        self.directory = directory
        self.inputs = load_file(directory / "inputs.safetensors")
        self.recorded = load_file(directory / "outputs.safetensors")
        self.outputs = {}

    def write(self):
        for name in ("inputs", "outputs"):
            tensors = {key: x.contiguous().clone() for key, x in getattr(self, name).items()}
            save_file(tensors, self.directory / f"{name}.safetensors")
        return self.directory


@pytest.fixture
def case(tmp_path):
    return lambda name: Copy(name, tmp_path)


@pytest.mark.parametrize("name", ["hf_release", "hf_release_b1", "xr0_posttrain"])
def test_public_cases_agree(name):
    report = check_parity(DATA / name)
    assert [item.name for item in report.differences if not item.is_within] == []
    assert report.passed
    recorded = set(load_file(DATA / name / "outputs.safetensors"))
    assert {item.name for item in report.differences} == recorded | {"pixel_values"}
    rounded = {x.name: x.largest for x in report.differences if x.name.startswith("bf16.")}
    assert max(rounded.values(), default=0) < 0.05  # equal bits where the CPU's kernels are equal
    assert max(x.largest for x in report.differences if x.name not in rounded) < 2e-5


def test_the_other_contract_gives_other_actions(case):
    copy = case("hf_release_b1")
    copy.outputs["as_xr0_posttrain.actions"] = copy.recorded["actions"]
    report = check_parity(copy.write())
    assert report.differences[-1].largest > 0.01
    assert not report.passed


def test_variants_of_horizon_and_prefix(case):
    """A causal chunk does not depend on its later rows, and a whole prefix is the answer."""
    copy = case("xr0_posttrain")
    action, two = copy.inputs["action"], copy.recorded["prefix2.actions"]
    copy.outputs = {
        "T4.prefix2.actions": two[:, :4],
        "steps5.prefix2.actions": two,
        "prefix6.actions": action,
        "prefix9.velocity.3": torch.zeros_like(action),
        "T3.prefix5.actions": action[:, :3],
        "prefix-1.actions": copy.recorded["prefix0.actions"],
        "prefix6.dit.position_ids": copy.recorded["prefix0.dit.position_ids"]
        - torch.tensor([0, 0, *[10] * 6]),
    }
    report = check_parity(copy.write())
    assert len(report.differences) == 1 + len(copy.outputs)
    assert report.passed


def test_padding_on_either_side_and_several_images_per_prompt(case):
    """Two copies of one prompt, padded right and left, answer as it does alone."""
    copy = case("hf_release_b1")
    x, pads = copy.inputs, 3
    ids, mask = x["input_ids"], torch.ones_like(x["input_ids"])
    zeros = ids.new_zeros(1, pads)
    right, left = torch.cat((ids, zeros), 1), torch.cat((zeros, ids), 1)
    seen, late = torch.cat((mask, zeros), 1), torch.cat((zeros, mask), 1)
    keys = copy.recorded["vlm.k.3"]
    unread = keys.new_full((1, keys.shape[1], pads, keys.shape[3]), torch.nan)
    copy.outputs = {name: copy.recorded[name].repeat(2, 1, 1) for name in ("actions", "velocity.0")}
    copy.outputs["vlm.k.3"] = torch.cat(
        (torch.cat((keys, unread), 2), torch.cat((unread, keys), 2)), 0
    )
    copy.outputs["leftpad.actions"] = copy.outputs["actions"]
    images = {f"image.{i + 2}": x[f"image.{i}"] for i in range(2)}
    batched = ("pixel_values", "image_grid_thw", "state", "action_mask", "noise")
    copy.inputs = x | images | {name: torch.cat((x[name], x[name])) for name in batched}
    copy.inputs |= {
        "input_ids": torch.cat((right, left)),
        "attention_mask": torch.cat((seen, late)),
    }
    copy.inputs["leftpad.input_ids"] = torch.cat((left, left))
    copy.inputs["leftpad.attention_mask"] = torch.cat((late, late))
    report = check_parity(copy.write())
    assert [item.name for item in report.differences][-1] == "leftpad.actions"
    assert report.passed


@pytest.mark.parametrize("label", ["", "bf16."])
def test_noise_is_drawn_from_the_seed_when_none_is_recorded(case, label):
    copy = case("hf_release_b1")
    copy.inputs = {k: v for k, v in copy.inputs.items() if not k.endswith("noise")}
    copy.outputs = {f"{label}actions": copy.recorded[f"{label}actions"]}
    assert check_parity(copy.write()).passed


def test_contract_of_the_recording_overrides_the_named_one(case):
    copy = case("xr0_posttrain")
    copy.outputs = {"prefix0.dit.attn_mask": copy.recorded["prefix0.dit.attn_mask"]}
    path = copy.write() / "config.json"
    data = json.loads(path.read_text())
    data["fixture"]["xr0"]["local_window"] = 2
    path.write_text(json.dumps(data))
    assert check_parity(copy.directory).differences[-1].largest == 1


def test_another_implementation_can_be_checked(case):
    """One that forgets a tensor and rounds another."""

    def other(model, run):
        computed = trace(model, run)
        del computed["velocity.3"]
        return computed | {"actions": computed["actions"].bfloat16()}

    report = check_parity(DATA / "hf_release", trace=other)
    assert report.not_compared == ("velocity.3",)
    assert [item.name for item in report.differences if not item.is_within] == ["actions"]


@pytest.mark.parametrize("recorded", [torch.full((1, 6, 8), torch.nan), torch.zeros(1, 5, 8)])
def test_no_number_and_another_shape_never_agree(case, recorded):
    copy = case("hf_release")
    copy.outputs["actions"] = recorded
    (_, item) = check_parity(copy.write(), tolerance=1e9).differences
    assert not item.is_within
    assert item.note


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x[:0],
        lambda x: x.expand(3, -1, -1),
        lambda x: x + 1j,
        lambda x: x.to(torch.float8_e5m2),
        lambda x: x[0, 0, 0],
    ],
)
def test_nothing_to_compare_never_agrees(case, change):
    copy = case("hf_release_b1")
    copy.outputs["actions"] = change(copy.recorded["actions"])
    report = check_parity(copy.write())
    assert report.differences[-1].name == "actions"
    assert report.differences[-1].note
    assert not report.passed


def test_only_a_mask_may_be_computed_once_for_the_batch(case):
    copy = case("hf_release")
    images = {"image.1": copy.inputs["image.0"]}
    twice = {k: x.repeat(2, *[1] * (x.ndim - 1)) for k, x in copy.inputs.items() if "." not in k}
    copy.inputs |= twice | images
    names = ("actions", "dit.attn_mask", "mask_from_stats")
    for batch, wrong in ((2, []), (3, ["dit.attn_mask", "actions", "mask_from_stats"])):
        copy.outputs = {name: copy.recorded[name].repeat_interleave(batch, 0) for name in names}
        report = check_parity(copy.write())
        assert [item.name for item in report.differences if not item.is_within] == wrong


@pytest.mark.parametrize("tolerance", [-1.0, math.nan, math.inf])
def test_a_tolerance_that_is_none_is_refused(tolerance):
    with pytest.raises(TaktError, match="tolerance: expected a finite number"):
        check_parity(DATA / "hf_release_b1", tolerance)


def test_a_wrong_contract_is_not_suspected_for_a_shape_or_a_nan(case):
    copy = case("hf_release_b1")
    copy.outputs = {"vlm.k.3": copy.recorded["vlm.k.3"], "actions": copy.recorded["actions"] + 1}
    assert check_parity(copy.write()).differs_in_flow_only
    for recorded in (torch.full((1, 6, 8), torch.nan), torch.zeros(1, 5, 8)):
        copy.outputs["actions"] = recorded
        assert not check_parity(copy.write()).differs_in_flow_only


def test_rows_that_no_run_reads_may_hold_anything(case):
    copy = case("xr0_posttrain")
    copy.inputs["action"][:, 2:] = torch.nan
    copy.outputs = {name: copy.recorded[name] for name in ("prefix0.actions", "prefix2.actions")}
    assert check_parity(copy.write()).passed
    copy.outputs["prefix3.actions"] = copy.recorded["prefix2.actions"]
    with pytest.raises(TaktError, match="action: expected finite numbers"):
        check_parity(copy.write())


def test_images_that_do_not_make_the_pixels_fail(case):
    copy = case("hf_release_b1")
    copy.outputs["vlm.position_ids"] = torch.zeros(3, 1, 38)
    copy.inputs["image.0"], copy.inputs["image.1"] = copy.inputs["image.1"], copy.inputs["image.0"]
    assert check_parity(copy.write()).differences[0].largest > 0.1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"noise": None}, "fixture.seed"),
        ({"state": None}, "lacks 'state'"),
        ({"pixel_values": None}, "lacks 'pixel_values'"),
        ({"state": torch.zeros(2, 1, 8)}, "state: expected shape"),
        ({"action": None}, "lacks 'action'"),
        ({"image_grid_thw": torch.tensor([[1, 2, 6]])}, "pixel_values: expected shape .12,"),
        ({"input_ids": torch.full((1, 22), 3)}, "image tokens"),
        ({"image.0": torch.zeros(33, 48, 3, dtype=torch.uint8)}, "multiples of 16"),
        ({"image.0": torch.zeros(32, 48, 3)}, "uint8"),
        ({"input_ids": torch.full((1, 22), 3.0)}, "input_ids: expected integers"),
        ({"input_ids": torch.full((1, 22), 160)}, r"input_ids: expected ids in 0\.\.159"),
        ({"input_ids": torch.tensor([[155] * 3 + [7] + [155] * 3 + [3] * 15])}, "in one row"),
        ({"image_grid_thw": torch.tensor([[2, 6, 4]])}, "image_grid_thw: .* still images"),
        ({"image_grid_thw": torch.tensor([[1, 8, 3]])}, "image_grid_thw: .*multiples of 2"),
        (
            {
                "image_grid_thw": torch.tensor([[1, 6, 4]] * 2),
                "pixel_values": torch.zeros(48, 384),
            },
            "image_grid_thw: expected 1 images",
        ),
        ({"attention_mask": torch.zeros(1, 22, dtype=torch.long)}, "attention_mask: .* real token"),
        ({"attention_mask": torch.full((1, 22), 2)}, "attention_mask: .* 0 on padding"),
        ({"state": torch.zeros(1, 1, 8) + 1j}, "state: expected real numbers"),
        ({"action_mask": torch.zeros(1, 0, 8)}, "action_mask: expected shape"),
    ],
)
def test_inputs_that_do_not_fit_are_named(case, change, says):
    copy = case("xr0_posttrain")
    copy.outputs["prefix2.actions"] = copy.recorded["prefix2.actions"]
    copy.inputs |= change
    copy.inputs = {name: tensor for name, tensor in copy.inputs.items() if tensor is not None}
    with pytest.raises(TaktError, match=says):
        check_parity(copy.write())


def test_names_are_read_word_by_word():
    variant, name = split_name("T4.prefix2.bf16.dit.layer_out.0.1")
    assert (variant.horizon, variant.prefix, variant.label) == (4, 2, "T4.prefix2.bf16.")
    assert variant.dtype == torch.bfloat16
    assert name == "dit.layer_out.0.1"
    assert split_name("as_nothing.actions")[1] == "as_nothing.actions"
    assert split_name("steps0.actions")[1] == "steps0.actions"
