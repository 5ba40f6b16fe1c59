"""What is inspected is what would be loaded."""

import json

import pytest
import torch
from safetensors.torch import save_file

from takt.policies.xr0.checkpoint import load_checkpoint, save_checkpoint
from takt.policies.xr0.checkpoint_files import CheckpointError
from takt.policies.xr0.inspection import inspect
from takt.policies.xr0.weights import read_weights, write_weights


@pytest.fixture
def saved(checkpoint, tmp_path):
    save_checkpoint(tmp_path, checkpoint)
    return tmp_path


def assert_same_weights(directory):
    read = read_weights(directory)
    total = inspect(directory).total
    assert total.parameters == sum(x.numel() for x in read.values())
    assert total.bytes == sum(x.nbytes for x in read.values())


def test_every_layout_is_found_where_loading_finds_it(saved):
    read = {name: x.clone() for name, x in read_weights(saved).items()}
    whole, index = saved / "model.safetensors", saved / "model.safetensors.index.json"
    assert_same_weights(saved)
    save_file({"sink.weight": torch.zeros(7)}, saved / "older.safetensors")
    index.write_text(json.dumps({"weight_map": {"sink.weight": "older.safetensors"}}))
    assert_same_weights(saved)  # both are there
    whole.unlink()
    assert_same_weights(saved)
    assert inspect(saved).total.parameters == 7
    write_weights(saved, read.items(), shard_bytes=1_000_000)
    assert_same_weights(saved)
    for file in (index, *saved.glob("*.safetensors")):
        file.unlink()
    module = {f"model.{name}": x for name, x in read.items()}
    torch.save({"module": module}, saved / "mp_rank_00_model_states.pt")
    assert_same_weights(saved)
    assert inspect(saved).total.dtypes == ("F32",)


def test_the_image_rule_is_the_one_that_runs(saved):
    path = saved / "preprocessor_config.json"
    size = {"shortest_edge": 4096, "longest_edge": 8192}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"do_resize": False, "size": size}))
    inspection = inspect(saved)
    assert inspection.config == load_checkpoint(saved).model.config
    assert "4,096 to 8,192 px" in inspection.image_text
    assert inspection.image_text.startswith("kept")
    path.write_text(json.dumps({"patch_size": 14}))
    for read in (inspect, load_checkpoint):
        with pytest.raises(CheckpointError, match="patch_size 8, got 14"):
            read(saved)


def test_bodies_that_would_not_load_are_not_shown(checkpoint, spec, saved):
    bodies = {body.name: body for body in inspect(saved).bodies}
    assert bodies[spec.name].horizon == checkpoint.body(spec.name).action.horizon
    path = saved / "preprocessor_config.json"
    data = json.loads(path.read_text())
    data["action_config"][spec.name]["execute_horizon"] = 0
    path.write_text(json.dumps(data))
    with pytest.raises(CheckpointError, match="execute_horizon"):
        inspect(saved)
