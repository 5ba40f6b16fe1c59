"""The training stage against numbers recorded from the released trainer (tests/data/parity)."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from takt.training.parity import check_training_parity
from takt.types import TaktError

CASE = Path(__file__).parents[1] / "data" / "parity" / "xr0_posttrain_train"


class Copy:
    """The case to change; `write` puts config, inputs and outputs back."""

    def __init__(self, directory):
        shutil.copytree(CASE, directory, dirs_exist_ok=True)
        self.directory = directory
        self.config = json.loads((CASE / "config.json").read_text())
        self.fixture = self.config["fixture"]
        self.inputs = load_file(CASE / "inputs.safetensors")
        self.outputs = load_file(CASE / "outputs.safetensors")

    def keep(self, *labels):
        """Only the runs of these labels, for speed."""
        kept = self.fixture["variants"], self.fixture["grad_norms"]
        for table in kept:
            for label in table.keys() - set(labels):
                del table[label]
        self.outputs = {k: v for k, v in self.outputs.items() if k.startswith(labels)}

    def write(self):
        (self.directory / "config.json").write_text(json.dumps(self.config))
        for name in ("inputs", "outputs"):
            tensors = {key: x.contiguous().clone() for key, x in getattr(self, name).items()}
            save_file(tensors, self.directory / f"{name}.safetensors")
        return self.directory


@pytest.fixture
def case(tmp_path):
    return Copy(tmp_path)


def above(report):
    return [item.name for item in report.differences if not item.is_within]


def test_every_recorded_number_agrees():
    report = check_training_parity(CASE)
    assert above(report) == []
    assert report.passed
    assert report.unused_inputs == ()
    norms = json.loads((CASE / "config.json").read_text())["fixture"]["grad_norms"]
    named = {f"{label}grad_norm.{name}" for label, table in norms.items() for name in table}
    recorded = set(load_file(CASE / "outputs.safetensors"))
    compared = [item.name for item in report.differences]
    assert set(compared) == recorded | named | {"pixel_values", "tau"}
    assert len(compared) == len(set(compared))
    assert report.largest < 3e-5


def test_settings_are_read_from_the_case(case):
    """A run of another name, with inputs of its own and the noise rows in another order."""
    case.keep("async5.")
    outputs, rows = case.outputs, [*range(3), *range(7, 2, -1)]
    case.inputs["mine.prefix_rand"] = case.inputs["prefix_rand"]
    case.inputs["prefix_rand"] = torch.ones(3)
    case.fixture["variants"] = {
        "mine.": {**case.fixture["variants"]["async5."], "noise_rows": list(range(8))},
        "moved.": {"prefix_length": 0, "training_repeat": 4, "noise_rows": rows},
    }
    case.fixture["grad_norms"] = {"mine.": case.fixture["grad_norms"]["async5."]}
    case.outputs = {k.replace("async5.", "mine."): x for k, x in outputs.items()}
    target = case.inputs["action"].repeat_interleave(4, 0) - case.inputs["noise"][rows]
    case.outputs["moved.target"] = target
    report = check_training_parity(case.write())
    assert above(report) == []
    assert report.passed
    assert report.unused_inputs == ("prefix_rand",)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"enable_freq": False}, "async5.loss_freq"),
        ({"prefix_mask_prob": 0.05}, "async5.dit.attn_mask"),
        ({"prefix_length": 4}, "async5.pred"),
        ({"action_mask": "zeros"}, "async5.loss_mask"),
    ],
)
def test_another_setting_gives_other_numbers(case, settings, says):
    case.keep("async5.")
    case.fixture["variants"]["async5."].update(settings)
    assert says in above(check_training_parity(case.write()))


def test_a_missing_or_unexpected_gradient_fails(case):
    case.keep("sync.")
    norms = case.fixture["grad_norms"]["sync."]
    table, query = (
        f"vlm.model.language_model.{x}"
        for x in ("embed_tokens.weight", "layers.2.self_attn.q_proj.weight")
    )
    norms["sink.weight"], norms[query], norms["not.there"] = None, 0.0, 1.0
    case.outputs[f"sync.grad.{query}"] = torch.zeros(48, 40)
    case.outputs["sync.grad.nobody"] = case.outputs["sync.surprise"] = torch.zeros(1)
    case.inputs["idle"] = torch.zeros(1)
    report = check_training_parity(case.write())
    wrong = {"sync.grad_norm.sink.weight", f"sync.grad_norm.{query}", f"sync.grad.{query}"}
    assert set(above(report)) == wrong
    unknown = ("sync.grad.nobody", "sync.grad_norm.not.there", "sync.surprise")
    assert report.not_compared == unknown
    assert "idle" in report.unused_inputs
    norms[table] = 1.0  # a recording whose text embeddings were trained
    found = {x.name: x for x in check_training_parity(case.write()).differences}
    assert 0 < found[f"sync.grad_norm.{table}"].largest < 100


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"loss_scale": 2}, "loss_scale"),
        ({"action_mask": "some"}, "zeros"),
        ({"noise_rows": [0, 99]}, "expected 8 noise_rows in 0..7"),
        ({"training_repeat": 3}, "expected shape .6."),
        ({"prefix_length": 9}, "at least 7 draws"),
        ({"prefix_length": "5"}, "async5.prefix_length: expected int"),
        ({"enable_freq": 1}, "async5.enable_freq: expected bool"),
        ({"training_repeat": 0}, "async5.training_repeat: expected int of at least 1"),
        ({"noise_rows": [0.5]}, "async5.noise_rows: expected tuple"),
    ],
)
def test_settings_that_do_not_fit_are_named(case, settings, says):
    case.keep("async5.")
    case.fixture["variants"]["async5."].update(settings)
    with pytest.raises(TaktError, match=says):
        check_training_parity(case.write())


@pytest.mark.parametrize(
    ("block", "wrong"),
    [
        ("variants", ["sync."]),
        ("grad_norms", None),
        ("grad_norms", {"sync.": {"sink.weight": "1"}}),
    ],
)
def test_malformed_runs_are_named(case, block, wrong):
    case.fixture[block] = wrong
    with pytest.raises(TaktError, match=f"fixture.{block}"):
        check_training_parity(case.write())


def test_nothing_to_compare_and_no_tolerance_are_faults(case):
    case.keep("sync.")
    case.outputs |= {"sync.pred": case.outputs["sync.pred"][:0], "sync.loss": torch.tensor(1j)}
    assert {"sync.pred", "sync.loss"} <= set(above(check_training_parity(case.write())))
    with pytest.raises(TaktError, match="tolerance"):
        check_training_parity(CASE, tolerance=-1)
    case.inputs["beta_u"] = case.inputs["beta_u"] + 1j
    with pytest.raises(TaktError, match="beta_u: expected real numbers"):
        check_training_parity(case.write())


def test_a_case_of_another_kind_is_refused():
    with pytest.raises(TaktError, match="leave out --train"):
        check_training_parity(CASE.parent / "hf_release")
