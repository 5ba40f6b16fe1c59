"""`takt model`: recorded cases that agree and that do not, and checkpoints of every layout."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from takt.cli import main

DATA = Path(__file__).parents[1] / "data" / "parity"
NANO = Path(__file__).parents[2] / "src/takt/policies/xr0/checkpoints/nano_station"


def add_to(path: Path, name: str, change: float) -> None:
    """Add `change` to the first element of a stored tensor; a new name becomes a new tensor."""
    tensors = load_file(path)
    tensor = tensors.setdefault(name, torch.zeros(1))
    tensor.view(-1)[0] += change
    save_file(tensors, path)


@pytest.fixture
def case(tmp_path: Path) -> Path:
    return shutil.copytree(DATA / "hf_release", tmp_path / "case")


def test_parity_passes_and_reports(capsys: pytest.CaptureFixture[str]) -> None:
    directory = DATA / "xr0_posttrain"
    assert main(["model", "parity", str(directory), "--json"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["passed"]
    assert report["contract"] == "xr0_posttrain"
    assert report["largest"] < 2e-5
    assert report["not_compared"] == report["unused_inputs"] == []
    first, last = report["tensors"][0], report["tensors"][-1]
    assert (first["name"], last["name"]) == ("pixel_values", "prefix2.actions")
    assert set(first) == {"name", "difference", "tolerance", "within", "note"}


@pytest.mark.parametrize(
    ("file", "tensor", "change", "options", "says"),
    [
        ("model", "dit.layers.1.attn.o_proj.weight", 0.5, [], "dit.layer_out.0.1: differs by"),
        ("outputs", "velocity.3", 2e-4, [], "velocity.3: differs by 2.0"),
        ("outputs", "dit.something", 0.0, [], "not compared:\n  dit.something"),
        ("outputs", "actions", float("nan"), [], "actions: not a number"),
        ("outputs", "actions", 0.0, ["--tol", "1e-9"], "actions: differs by"),
    ],
)
def test_parity_names_what_differs(
    case: Path,
    capsys: pytest.CaptureFixture[str],
    file: str,
    tensor: str,
    change: float,
    options: list[str],
    says: str,
) -> None:
    add_to(case / f"{file}.safetensors", tensor, change)
    assert main(["model", "parity", str(case), *options]) == 1
    printed = capsys.readouterr()
    assert says in printed.err
    assert "failed" in printed.out


def test_parity_under_another_contract_says_so(
    case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((case / "config.json").read_text())
    config["fixture"] |= {"contract": "xr0_posttrain", "action_position_offset": 10}
    (case / "config.json").write_text(json.dumps(config))
    assert main(["model", "parity", str(case)]) == 1
    assert "another contract than 'xr0_posttrain'" in capsys.readouterr().err
    add_to(case / "model.safetensors", "vlm.model.visual.merger.linear_fc2.weight", 0.5)
    assert main(["model", "parity", str(case)]) == 1
    assert "another contract" not in capsys.readouterr().err


def test_parity_refuses_inputs_that_are_no_numbers(
    case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_to(case / "inputs.safetensors", "state", float("nan"))
    assert main(["model", "parity", str(case)]) == 2
    assert "state: expected finite numbers" in capsys.readouterr().err


def test_parity_in_json_knows_no_nan(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_to(case / "outputs.safetensors", "actions", float("nan"))
    assert main(["model", "parity", str(case), "--json"]) == 1
    report = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert not report["passed"]
    assert report["largest"] is None


def test_a_training_case_passes_with_train(capsys: pytest.CaptureFixture[str]) -> None:
    directory = DATA / "xr0_posttrain_train"
    assert main(["model", "parity", str(directory), "--train", "--json"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["passed"]
    assert report["largest"] < 3e-5
    assert report["not_compared"] == report["unused_inputs"] == []
    names = {tensor["name"] for tensor in report["tensors"]}
    assert {"async5.loss", "sync.grad.sink.weight", "async5.grad_norm.sink.weight"} <= names


def test_train_refuses_a_case_of_inference(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "parity", str(DATA / "hf_release"), "--train"]) == 2
    assert "leave out --train" in capsys.readouterr().err


def test_a_training_case_is_refused_by_name(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_to(case / "inputs.safetensors", "tau", 0.5)
    save_file({"sync.loss": torch.zeros(())}, case / "outputs.safetensors")
    assert main(["model", "parity", str(case)]) == 1
    printed = capsys.readouterr()
    assert "to be run with --train" in printed.err
    assert "sync.loss" in printed.err
    assert "tau" in printed.out


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("config.json", None, "not a recorded case"),
        ("config.json", "{", "not valid JSON"),
        ("config.json", "{}", "contract"),
        ("config.json", '{"fixture": {"contract": "new"}}', "known: hf_release"),
        ("inputs.safetensors", None, "inputs.safetensors"),
        ("outputs.safetensors", "cut", "outputs.safetensors"),
        ("model.safetensors", None, "model.safetensors"),
    ],
)
def test_a_directory_that_is_no_case_is_refused(
    case: Path, capsys: pytest.CaptureFixture[str], file: str, content: str | None, says: str
) -> None:
    (case / file).unlink()
    if content is not None:
        (case / file).write_text(content)
    assert main(["model", "parity", str(case)]) == 2
    assert says in capsys.readouterr().err


def test_inspect_shows_sizes_contract_and_bodies(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "inspect", str(NANO), "--json"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    stored = load_file(NANO / "model.safetensors")
    assert report["parameters"] == sum(tensor.numel() for tensor in stored.values())
    assert report["bytes"] == sum(tensor.nbytes for tensor in stored.values())
    assert [part["name"] for part in report["parts"]] == ["vision", "language", "DiT", "projectors"]
    assert report["contract"]["name"] == "xr0_posttrain"
    body = report["bodies"]["nut-station"]
    assert (body["horizon"], body["execute_horizon"]) == (16, 6)
    assert body["active"] == [*range(6, 13), *range(20, 27)]
    assert all(column["std_min"] > 1e-5 for column in body["columns"])
    assert main(["model", "inspect", str(NANO)]) == 0
    assert "14 of 32 action dims active" in capsys.readouterr().out


def test_inspect_of_a_released_directory_says_what_is_unnamed(
    case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    statistics = {"mean": [[0.0] * 8] * 3, "std": [[1.0] * 7 + [1e-6]] * 3}
    entries = {"action_config": {"some_arm": statistics}}
    (case / "preprocessor_config.json").write_text(json.dumps(entries))
    assert main(["model", "inspect", str(case)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "not named" in printed
    assert "silently wrong actions" in printed
    assert "some_arm: T = 3, T_e = 3, 7 of 8" in printed


def write_header(path: Path, name: str, elements: int) -> None:
    """A bfloat16 tensor whose bytes are a hole in the file."""
    entry = {"dtype": "BF16", "shape": [elements], "data_offsets": [0, 2 * elements]}
    header = json.dumps({name: entry}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with path.open("r+b") as file:
        file.truncate(8 + len(header) + 2 * elements)


def test_inspect_reads_shards_of_any_size_without_torch(case: Path) -> None:
    (case / "model.safetensors").unlink()
    shards = {"sink.weight": 300_000_000, "vlm.model.visual.x": 4_400_000_000, "extra": 7}
    for name, elements in shards.items():
        write_header(case / f"{name}.safetensors", name, elements)
    index = {"weight_map": {name: f"{name}.safetensors" for name in shards}}
    (case / "model.safetensors.index.json").write_text(json.dumps(index))
    code = (
        "import sys; from takt.cli import main; assert main(sys.argv[1:]) == 0; "
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    argv = [sys.executable, "-c", code, "model", "inspect", str(case), "--json"]
    child = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    report = json.loads(child.stdout)
    assert report["bytes"] == 2 * 4_700_000_007
    assert {part["name"]: part["parameters"] for part in report["parts"]} == {
        "projectors": 300_000_000,
        "vision": 4_400_000_000,
        "other": 7,
    }
    assert {dtype for part in report["parts"] for dtype in part["dtypes"]} == {"BF16"}


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("config.json", None, "checkpoint file not found"),
        ("config.json", b"{}", "not an XR-0 config"),
        ("model.safetensors", None, "expected model.safetensors, model.safetensors.index.json"),
        ("model.safetensors", b"cut", "not a complete safetensors file"),
        (
            "model.safetensors",
            (64).to_bytes(8, "little") + b'{"x": 1}',
            "not a complete safetensors file",
        ),
        ("preprocessor_config.json", b'{"action_config": {"arm": {}}}', "'arm'"),
        ("preprocessor_config.json", b'{"action_config": {"arm": {"mean": [], "std": []}}}', "8)"),
    ],
)
def test_inspect_names_a_broken_file(
    case: Path, capsys: pytest.CaptureFixture[str], file: str, content: bytes | None, says: str
) -> None:
    (case / file).unlink(missing_ok=True)
    if content is not None:
        (case / file).write_bytes(content)
    assert main(["model", "inspect", str(case)]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [{"dtype": "Q99"}, {"shape": [-1, 2]}, {"shape": [3]}, {"data_offsets": [1, 5]}],
)
def test_inspect_refuses_a_header_that_loading_refuses(
    case: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object]
) -> None:
    entry = {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4], **change}
    header = json.dumps({"sink.weight": entry}).encode()
    content = len(header).to_bytes(8, "little") + header + bytes(4 + ("data_offsets" in change))
    (case / "model.safetensors").write_bytes(content)
    assert main(["model", "inspect", str(case)]) == 2
    assert "not a complete safetensors file" in capsys.readouterr().err


def test_inspect_notices_an_incomplete_download(
    case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (case / "model.safetensors").open("r+b") as file:
        file.truncate(100_000)
    assert main(["model", "inspect", str(case)]) == 2
    assert "not complete" in capsys.readouterr().err
    index = {"weight_map": {"dit.absent": "model.safetensors"}}
    (case / "model.safetensors").rename(case / "a.safetensors")
    write_header(case / "a.safetensors", "dit.present", 1)
    index = {"weight_map": {"dit.absent": "a.safetensors"}}
    (case / "model.safetensors.index.json").write_text(json.dumps(index))
    assert main(["model", "inspect", str(case)]) == 2
    assert "dit.absent" in capsys.readouterr().err


@pytest.mark.parametrize("own", [None, [], "nano"])
def test_inspect_refuses_a_takt_block_that_is_none(
    case: Path, capsys: pytest.CaptureFixture[str], own: object
) -> None:
    config = json.loads((case / "config.json").read_text())
    (case / "config.json").write_text(json.dumps({**config, "takt": own}))
    assert main(["model", "inspect", str(case)]) == 2
    assert "takt: expected an object" in capsys.readouterr().err
