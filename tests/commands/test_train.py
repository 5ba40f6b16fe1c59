"""`takt train finetune` as a user sees it."""

import json
import shutil
from pathlib import Path

import pytest
import tiny
import torch

from takt.cli import main
from takt.folder_lock import FolderLock
from takt.policies.xr0.checkpoint import Checkpoint, save_checkpoint
from takt.policies.xr0.model import XR0
from takt.policies.xr0.tokenizer import build_tokenizer
from takt.training.frame_cache import hold_out

DATA = Path(__file__).parents[1] / "data" / "lerobot" / "v21_video_0.3.2"


@pytest.fixture(scope="module")
def init(tmp_path_factory):
    folder = tmp_path_factory.mktemp("init")
    start = Checkpoint(model=XR0(tiny.MODEL), tokenizer=build_tokenizer(), bodies={})
    save_checkpoint(folder, start, torch.float16)
    return folder


def argv(out, *more):
    return ["train", "finetune", "--data", str(DATA), "--out", str(out), *map(str, more)]


def test_a_dataset_is_trained_on_and_measured(init, tmp_path, capsys):
    options = ("--init", init, "--steps", 2, "--batch", 2, "--image-pixels", 256, 1024, "--json")
    assert main(argv(tmp_path, *options)) == 0
    shown = capsys.readouterr()
    result = json.loads(shown.out.splitlines()[-1])
    assert (Path(result["checkpoint"]) / "model.safetensors").is_file()
    assert len(result["validation"]["episodes"]) == 1
    assert result["body"] == str(tmp_path / "body.toml")
    assert "finetune 2/2 loss" in shown.err
    assert "standard deviations" in shown.out


def test_held_out_episodes_that_are_all_damaged_are_said(init, tmp_path, capsys):
    data, out = shutil.copytree(DATA, tmp_path / "data"), tmp_path / "run"
    options = ("--init", init, "--steps", 1, "--batch", 2, "--image-pixels", 256, 1024)
    _, (held_out,) = hold_out(4, 0.1, 0)
    video = data / "videos" / "chunk-000"
    for path in video.rglob(f"episode_{held_out:06d}.mp4"):
        path.write_bytes(path.read_bytes()[:50])
    assert main(argv(out, "--data", data, *options, "--skip-bad")) == 0
    shown = capsys.readouterr().out
    assert "on frames trained on\n" in shown
    assert "episodes: 1 damaged ones were left out" in shown


def test_the_bodys_file_comes_first(tmp_path, capsys):
    assert main(argv(tmp_path, "--steps", 0, "--json")) == 0
    shown = capsys.readouterr().out.splitlines()
    assert "correct it and run again" in shown[0]
    assert json.loads(shown[-1])["checkpoint"] is None


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--steps", "-1"), "--steps of at least 0"),
        (("--init", "nowhere"), "nowhere"),
        (("--body", "nobody.toml"), "nobody.toml"),
        (("--conversations", "nope.json"), "there is nothing at nope.json"),
        (("--lora", "0"), "--lora of at least 1"),
        (("--lr", "inf"), "positive --lr"),
        (("--horizon", "0"), "--horizon of at least 1"),
        (("--batch", "2", "--horizon", "3"), "change --horizon"),
        (("--batch", "1000"), "batch of 1000 frames"),
    ],
)
def test_bad_input_is_named(options, named, tmp_path, capsys):
    assert main(argv(tmp_path, *options)) == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "run.json").exists()


def test_a_folder_that_another_training_works_in_is_refused(tmp_path, capsys):
    other = FolderLock(tmp_path)
    assert main(argv(tmp_path, "--steps", 0)) == 2
    assert f"{tmp_path}: expected to be the only writer" in capsys.readouterr().err
    assert not (tmp_path / "body.toml").exists()
    other.release()
    assert main(argv(tmp_path, "--steps", 0)) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["body.toml"]


def test_a_released_start_trains_in_the_same_folder_once_its_contract_is_named(
    init, tmp_path, capsys
):
    released, out = shutil.copytree(init, tmp_path / "released"), tmp_path / "run"
    config = json.loads((released / "config.json").read_text())
    del config["takt"]["contract"]
    (released / "config.json").write_text(json.dumps(config))
    options = ("--init", released, "--steps", 1, "--batch", 2, "--image-pixels", 256, 1024)
    assert main(argv(out, *options)) == 2
    assert "--contract hf_release" in capsys.readouterr().err
    assert main(argv(out, *options, "--contract", "hf_release")) == 0
    assert json.loads((out / "run.json").read_text())["finetune"]["contract"] == "hf_release"
