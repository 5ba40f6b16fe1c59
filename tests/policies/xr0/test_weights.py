import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from takt.policies.xr0.checkpoint import load_checkpoint, save_checkpoint
from takt.policies.xr0.config import HF_RELEASE, XR0_POSTTRAIN, Contract
from takt.policies.xr0.model import XR0
from takt.policies.xr0.presets import nano, xr0_4_7b
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


def test_wrong_keys_are_all_named(saved):
    weights = load_file(saved / "model.safetensors")
    del weights["sink.weight"]
    weights["dit.sink.weight"] = torch.zeros(1, 128)
    weights["state_projector.layers.0.weight"] = torch.zeros(128, 31)
    save_file(weights, saved / "model.safetensors")
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(saved)
    message = str(error.value)
    assert "missing sink.weight (1, 128)" in message
    assert "unexpected dit.sink.weight" in message
    assert "state_projector.layers.0.weight: expected (128, 32), got (128, 31)" in message
    assert "(3 keys)" in message


def test_unknown_body_lists_the_known(checkpoint):
    with pytest.raises(CheckpointError, match="'toaster'.*nut-station"):
        checkpoint.body("toaster")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        load_checkpoint(saved)


def test_truncated_files_are_named(saved):
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load_checkpoint(saved)
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


def test_released_config_needs_a_contract():
    data = to_json(nano())
    del data["takt"]
    with pytest.raises(TaktError, match="HF_RELEASE"):
        from_json(data)
    assert from_json(data, HF_RELEASE).contract == HF_RELEASE


def test_own_contract_survives():
    contract = Contract(name="narrow", local_window=2, rope_offset=7, decode_eps=1e-6, max_prefix=3)
    config = nano(contract)
    assert from_json(json.loads(json.dumps(to_json(config)))) == config


def test_the_released_size():
    """Parameter and tensor counts of the released checkpoints (xr0-model reference, section 3)."""
    with torch.device("meta"):
        model = XR0(xr0_4_7b())
    tensors = model.state_dict()
    action = {name: t for name, t in tensors.items() if not name.startswith("vlm.")}
    visual = [name for name in tensors if name.startswith("vlm.model.visual.")]
    assert len(tensors) == 932
    assert (len(visual), len(action)) == (315, 219)
    assert sum(t.numel() for t in action.values()) == 278_458_368
    assert sum(t.numel() for t in tensors.values()) == 4_437_815_808 + 278_458_368
    assert model.config.contract == HF_RELEASE != XR0_POSTTRAIN
