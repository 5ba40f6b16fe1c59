import copy
import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from takt.policies.xr0.checkpoint import load_checkpoint, save_checkpoint
from takt.policies.xr0.config import HF_RELEASE, XR0_POSTTRAIN, Contract
from takt.policies.xr0.presets import nano
from takt.policies.xr0.quantisation import quantise
from takt.policies.xr0.released_config import from_json, to_json
from takt.policies.xr0.weights import CheckpointError
from takt.types import TaktError


@pytest.fixture
def saved(checkpoint, tmp_path):
    save_checkpoint(tmp_path, checkpoint)
    return tmp_path


def test_round_trip(checkpoint, saved, spec):
    loaded = load_checkpoint(saved)
    assert loaded.model.config == checkpoint.model.config
    weights = checkpoint.model.state_dict()
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, weights[name]), name
    assert loaded.tokenizer.to_str() == checkpoint.tokenizer.to_str()
    ours, theirs = loaded.body(spec.name), checkpoint.body(spec.name)
    assert (ours.action.mean == theirs.action.mean).all()
    assert (ours.action.std == theirs.action.std).all()
    assert ours.execute_horizon == theirs.execute_horizon
    assert ours.state is None


def test_a_loaded_model_can_train_and_move(saved):
    model = load_checkpoint(saved).model
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(tensor.is_meta for tensor in [*model.parameters(), *model.buffers()])
    assert model.bfloat16().dtype == torch.bfloat16


def test_half_precision_storage_halves_the_file(checkpoint, saved, tmp_path):
    save_checkpoint(tmp_path / "half", checkpoint, torch.float16)
    whole, half = (d / "model.safetensors" for d in (saved, tmp_path / "half"))
    assert half.stat().st_size < 0.55 * whole.stat().st_size
    assert half.stat().st_size < 20e6
    assert load_checkpoint(tmp_path / "half").model.dtype == torch.float32
    assert load_checkpoint(tmp_path / "half", dtype=None).model.dtype == torch.float16


def test_a_checkpoint_can_be_saved_over_the_files_it_is_mapped_from(saved):
    """The released way to cast a checkpoint: open it as stored, save it into the same folder."""
    before = load_file(saved / "model.safetensors")
    save_checkpoint(saved, load_checkpoint(saved, dtype=None), torch.bfloat16)
    for name, tensor in load_file(saved / "model.safetensors").items():
        assert torch.equal(tensor, before[name].bfloat16()), name


def test_unknown_body_lists_the_known(checkpoint):
    with pytest.raises(CheckpointError, match="'toaster'.*nut-station"):
        checkpoint.body("toaster")


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("tokenizer.json", "{}", "tokenizer.json is not a tokenizer"),
        ("preprocessor_config.json", "[]", "one JSON object, got list"),
        ("preprocessor_config.json", '{"size": [1, 2]}', "shortest_edge"),
        ("preprocessor_config.json", '{"action_config": []}', "action_config"),
        ("preprocessor_config.json", '{"action_config": {"arm": {"mean": [[0]]}}}', "'arm'.*std"),
        ("config.json", '{"takt": {"contract": "old"}}', "hf_release, xr0_posttrain.*'old'"),
        ("config.json", '{"takt": {"contract": {"name": "old"}}}', "local_window.*'old'"),
    ],
)
def test_a_broken_file_is_named(saved, file, content, says):
    if file == "config.json":
        content = json.dumps(json.loads((saved / file).read_text()) | json.loads(content))
    (saved / file).write_text(content)
    with pytest.raises(TaktError, match=says):
        load_checkpoint(saved)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"state_mean": [0.0], "state_std": [1.0]}, r"'nut-station'.*\(steps, 32\), got \(1, 1\)"),
        ({"mean": [[float("nan")] * 32] * 10}, "'nut-station'.*finite"),
        ({"execute_horizon": 11}, "'nut-station'.*1..10, got 11"),
    ],
)
def test_statistics_that_cannot_be_are_named_with_their_body(saved, change, says):
    path = saved / "preprocessor_config.json"
    data = json.loads(path.read_text())
    data["action_config"]["nut-station"] |= change
    path.write_text(json.dumps(data))
    with pytest.raises(CheckpointError, match=says):
        load_checkpoint(saved)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        load_checkpoint(saved)


def test_broken_config_is_named(saved):
    (saved / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_checkpoint(saved)


def test_statistics_of_another_width_are_refused(saved):
    path = saved / "preprocessor_config.json"
    data = json.loads(path.read_text())
    body = data["action_config"]["nut-station"]
    body["mean"] = [row[:-1] for row in body["mean"]]
    path.write_text(json.dumps(data))
    with pytest.raises(CheckpointError, match="32"):
        load_checkpoint(saved)


def test_released_config_needs_a_contract(saved):
    data = json.loads((saved / "config.json").read_text())
    del data["takt"]["contract"]
    (saved / "config.json").write_text(json.dumps(data))
    with pytest.raises(TaktError, match="HF_RELEASE"):
        load_checkpoint(saved)
    assert load_checkpoint(saved, HF_RELEASE).model.config.contract == HF_RELEASE
    data["takt"]["contract"] = "hf_release"  # as the error advises
    (saved / "config.json").write_text(json.dumps(data))
    assert load_checkpoint(saved).model.config.contract == HF_RELEASE


def test_another_contract_than_the_stored_one_says_what_would_go_wrong(saved):
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(saved, HF_RELEASE)
    message = str(error.value)
    assert "'xr0_posttrain' that config.json names, got 'hf_release'" in message
    assert "mask shows an action all earlier actions, trained 4" in message
    assert "0 rotary positions later, trained 10" in message
    renamed = replace(XR0_POSTTRAIN, name="my own name for it")
    assert load_checkpoint(saved, renamed).model.config.contract == renamed


def test_own_contract_survives():
    contract = Contract(name="narrow", local_window=2, rope_offset=7, decode_eps=1e-6, max_prefix=3)
    config = nano(contract)
    assert from_json(json.loads(json.dumps(to_json(config)))) == config


def test_what_the_layout_cannot_hold_is_not_written(checkpoint, tmp_path):
    model = quantise(copy.deepcopy(checkpoint.model), "int8")
    with pytest.raises(CheckpointError, match="QuantisedLinear.*before `quantise`"):
        save_checkpoint(tmp_path, replace(checkpoint, model=model))
    assert not list(tmp_path.iterdir())
