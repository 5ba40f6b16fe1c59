import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from takt.policies.xr0.config import HF_RELEASE, XR0_POSTTRAIN
from takt.policies.xr0.model import XR0
from takt.policies.xr0.presets import xr0_4_7b
from takt.policies.xr0.weights import CheckpointError, load_weights, read_weights, write_weights

TABLE = "vlm.model.language_model.embed_tokens.weight"
TRAINER = Path("last.ckpt/checkpoint/mp_rank_00_model_states.pt")


@pytest.fixture(scope="session")
def tensors(model):
    """The model's weights in bfloat16, as the released files store them."""
    return {name: x.bfloat16() for name, x in model.state_dict().items()}


@pytest.fixture
def whole(tensors, tmp_path):
    write_weights(tmp_path, tensors.items())
    return tmp_path / "model.safetensors"


def files(directory):
    return sorted(path.name for path in directory.iterdir())


def save_trainer(directory, module, **others):
    path = directory / TRAINER
    path.parent.mkdir(parents=True)
    torch.save({"module": {f"model.{name}": x for name, x in module.items()}, **others}, path)


def assert_same(found, expected):
    assert set(found) == set(expected)
    for name, tensor in found.items():
        assert tensor.dtype == expected[name].dtype, name
        assert torch.equal(tensor.view(torch.uint8), expected[name].view(torch.uint8)), name


def test_bits_and_dtype_survive_shards(model, tensors, tmp_path):
    odd = tensors | {"sink.weight": torch.full((1, 128), torch.nan).bfloat16()}
    write_weights(tmp_path, odd.items(), shard_bytes=1_000_000)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    shards = sorted(set(index["weight_map"].values()))
    assert files(tmp_path) == [*shards, "model.safetensors.index.json"]
    assert shards[0] == f"model-00001-of-{len(shards):05d}.safetensors"
    assert index["metadata"]["total_size"] == sum(x.nbytes for x in odd.values())
    assert_same(
        load_file(tmp_path / index["weight_map"][TABLE]),
        {
            name: odd[name]
            for name, shard in index["weight_map"].items()
            if shard == index["weight_map"][TABLE]
        },
    )
    loaded = load_weights(model.config, tmp_path, dtype=None)
    assert_same(loaded.state_dict(), odd)
    assert not loaded.training


def test_who_may_list_the_folder_may_read_the_weights(tensors, tmp_path):
    for mode, expected in ((0o755, 0o644), (0o700, 0o600)):
        folder = tmp_path / oct(mode)
        folder.mkdir()
        folder.chmod(mode)
        write_weights(folder, tensors.items())
        assert (folder / "model.safetensors").stat().st_mode & 0o777 == expected


def test_asked_for_dtypes(model, tensors, whole):
    assert_same(
        load_weights(model.config, whole).state_dict(), {k: x.float() for k, x in tensors.items()}
    )
    assert load_weights(model.config, whole, dtype=torch.float16).dtype == torch.float16


def test_writing_again_leaves_one_layout(tensors, tmp_path):
    for shard_bytes in (500_000, 1_000_000, 10**9, 1_000_000):
        write_weights(tmp_path, tensors.items(), shard_bytes=shard_bytes)
        assert_same(read_weights(tmp_path), tensors)
        assert ("model.safetensors" in files(tmp_path)) == (shard_bytes == 10**9)
        assert len({name[-19:] for name in files(tmp_path) if "-of-" in name}) <= 1


def test_changing_loaded_weights_leaves_the_file(model, tensors, whole):
    loaded = load_weights(model.config, whole, dtype=None)
    with torch.no_grad():
        loaded.sink.weight.add_(1)
    assert_same(read_weights(whole), tensors)


@pytest.mark.parametrize("path", [TRAINER, TRAINER.parent, TRAINER.parents[1], Path()])
def test_trainer_layout(tensors, tmp_path, path):
    head = {"vlm.lm_head.weight": tensors[TABLE]}
    save_trainer(tmp_path, tensors | head, epoch=3, ds_version="0.17", names={"a"}, lr=[1e-5])
    assert_same(read_weights(tmp_path / path), tensors)


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_trainer_file_with_objects_is_refused_by_name_and_not_run(tensors, tmp_path):
    save_trainer(tmp_path, tensors, callbacks=Trap(tmp_path / "sprung"))
    with pytest.raises(CheckpointError, match="pathlib"):
        read_weights(tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_two_checkpoints_under_one_folder_are_listed(tensors, tmp_path):
    for run in ("first", "second"):
        save_trainer(tmp_path / run, tensors)
    with pytest.raises(CheckpointError, match=r"(?s)first/last\.ckpt.*second/last\.ckpt"):
        read_weights(tmp_path)


def test_a_tied_head_is_accepted_and_another_one_refused(tensors, whole):
    for head, fits in ((tensors[TABLE], True), (tensors[TABLE] + 1, False)):
        save_file(tensors | {"vlm.lm_head.weight": head.clone()}, whole)
        if fits:
            assert_same(read_weights(whole), tensors)
        else:
            with pytest.raises(CheckpointError, match=r"lm_head\.weight.*embed_tokens"):
                read_weights(whole)


def test_wrong_keys_are_all_named(model, tensors, whole):
    wrong = dict(tensors)
    del wrong["sink.weight"]
    wrong["dit.sink.weight"] = torch.zeros(1, 128)
    wrong["state_projector.layers.0.weight"] = torch.zeros(128, 31)
    save_file(wrong, whole)
    with pytest.raises(CheckpointError) as error:
        load_weights(model.config, whole)
    message = str(error.value)
    assert "missing sink.weight (1, 128)" in message
    assert "unexpected dit.sink.weight" in message
    assert "state_projector.layers.0.weight: expected (128, 32), got (128, 31)" in message
    assert "(3 keys)" in message


def test_damaged_files_are_named(tensors, tmp_path):
    write_weights(tmp_path, tensors.items(), shard_bytes=2_000_000)
    lost, cut = sorted(tmp_path.glob("*.safetensors"))[:2]
    lost.rename(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match=f"not there: {lost.name}"):
        read_weights(tmp_path)
    (tmp_path / "elsewhere").rename(lost)
    cut.write_bytes(cut.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=cut.name):
        read_weights(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": []}')
    with pytest.raises(CheckpointError, match=r"index\.json is not an index"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    ("held", "says"),
    [
        ({"a": "xy", "b": "x"}, ["a.safetensors holds y of b", "b.safetensors lacks y"]),
        ({"a": "x", "b": "xy"}, ["b.safetensors holds x of a.safetensors"]),
        ({"a": "x", "b": "yz"}, ["b.safetensors holds z of no shard"]),
        ({"a": "x", "b": "y"}, []),
    ],
)
def test_every_tensor_is_read_from_the_shard_that_the_index_names(tmp_path, held, says):
    for shard, keys in held.items():
        tensors = {key: torch.full((1,), float(ord(shard))) for key in keys}
        save_file(tensors, tmp_path / f"{shard}.safetensors")
    index = {"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    if not says:
        assert read_weights(tmp_path) == {"x": ord("a"), "y": ord("b")}
        return
    with pytest.raises(CheckpointError) as error:
        read_weights(tmp_path)
    assert all(problem in str(error.value) for problem in says)


@pytest.mark.parametrize("dtype", [torch.float32, None])
def test_weights_that_are_no_floats_are_named(model, tensors, whole, dtype):
    save_file(tensors | {"sink.weight": torch.zeros(1, 128, dtype=torch.int64)}, whole)
    with pytest.raises(CheckpointError, match="sink.weight: expected a floating dtype, got int64"):
        load_weights(model.config, whole, dtype=dtype)


def test_a_trainer_file_with_a_key_twice_is_refused(tensors, tmp_path):
    path = tmp_path / TRAINER.name
    torch.save(
        {"module": {"model.a": torch.zeros(1), "b": torch.ones(1), "a": torch.ones(1)}}, path
    )
    with pytest.raises(CheckpointError, match="both of a;"):
        read_weights(path)


@pytest.mark.parametrize("content", [b"", b"PK", {"module": [1]}, [1]])
def test_what_is_no_trainer_file_is_named(tmp_path, content):
    path = tmp_path / TRAINER.name
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(CheckpointError, match=path.name):
        read_weights(path)


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
