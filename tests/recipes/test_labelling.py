"""A dataset becomes a vision-language set, whatever interrupts it and wherever it is made."""

import json
import multiprocessing
import os
import shutil
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from labelling_fakes import FakeModels

from takt.cli import main
from takt.datasets.errors import BadEpisodeError, FeatureMismatchError
from takt.datasets.labelling.config import LabelConfig
from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.vision_language_set import VisionLanguageSet
from takt.recipes.executors import InProcess, Processes, Ray, execute
from takt.recipes.label_models import ModelFolders
from takt.recipes.labelling import LabelJob, ModelSource, label
from takt.recipes.run_folder import claim
from takt.types import TaktError

DATA = Path(__file__).parents[1] / "data" / "lerobot" / "v21_image_0.3.2"
CONFIG = LabelConfig(every_s=0.9)


def job(
    out: Path,
    dataset: Path = DATA,
    config: LabelConfig = CONFIG,
    models: ModelSource = FakeModels(),  # noqa: B008
) -> LabelJob:
    return LabelJob(dataset=dataset, out=out, config=config, models=models)


def shards(out):
    return {path.name: path.read_bytes() for path in out.glob("*.parquet")}


def rows(out):
    found = VisionLanguageSet.open([out])
    return [found.row(index) for index in range(len(found))]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("made")
    done = []
    return out, label(job(out), InProcess(), report=done.append), done


def test_every_task_has_its_rows(made):
    out, labelled, done = made
    tally = labelled.tally
    assert done == [0, 1, 2, 3, 4]
    there = rows(out)
    counts = {task: sum(row.task == task for row in there) for task in ("grounding", "captioning")}
    looked = 2 * tally.frames  # cameras
    assert counts == {"grounding": looked, "captioning": looked}
    assert tally.rows == len(there)
    assert (tally.phrases_kept, tally.phrases_dropped) == (looked, looked)
    assert tally.boxes_dropped == looked  # of the third detector
    assert tally.answers_dropped > 0
    assert tally.names_dropped == 2 * looked
    plans = [row.turns[0].question for row in there if row.task == "planning"]
    assert plans == [plans[0]] * 2  # of the trajectory's; the VLM comes to no end
    assert plans[0].startswith("List")
    assert json.loads((out / "labelled.json").read_text())["tally"]["frames"] == tally.frames
    assert all("<image>" not in turn.answer for row in there for turn in row.turns)


def test_a_box_is_that_of_the_agreed(made):
    found = VisionLanguageSet.open([made[0]])
    row = next(row for row in map(found.row, range(len(found))) if row.task == "grounding")
    (turn,) = row.turns
    assert turn.question == "Locate one red cup in this image, as JSON."  # a third box was dropped
    box = [round(10 / 128 * 1000), round(10 / 96 * 1000), 234, round(40 / 96 * 1000)]
    assert json.loads(turn.answer) == [{"bbox_2d": box, "label": "red cup"}]
    assert row.id.startswith("episode-000000/frame-000000/grounding/")


def test_embodied_questions_show_all_cameras(made):
    found = VisionLanguageSet.open([made[0]])
    index = next(k for k in range(len(found)) if found.row(k).task == "embodied_qa")
    assert len(found[index].images) == 2


def test_processes_make_the_same(made, tmp_path):
    labelled = label(job(tmp_path), Processes(2))
    assert labelled == made[1]
    assert shards(tmp_path) == shards(made[0])


@pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed (pip install '.[ray]')")
def test_ray_makes_the_same(made, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))  # for the fakes
    labelled = label(job(tmp_path), Ray(2))
    assert labelled == made[1]
    assert shards(tmp_path) == shards(made[0])
    with pytest.raises(TaktError, match="no episode can be read"):
        list(execute(Ray(1), refuse, [0]))


def refuse():
    raise TaktError("no episode can be read")


def test_without_ray_the_extra_is_named():
    if find_spec("ray") is not None:
        pytest.skip("ray is installed")
    with pytest.raises(TaktError, match=r"ray, not installed here.*\[ray\]"):
        list(execute(Ray(1), lambda: str, [0]))


def test_a_run_that_was_killed_goes_on(made, tmp_path):
    killed = job(tmp_path, models=FakeModels(fatal=30))
    child = multiprocessing.get_context("spawn").Process(target=label, args=(killed, InProcess()))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    before = shards(tmp_path)
    assert 0 < len(before) < 4
    (tmp_path / "episode-000003.parquet.tmp").write_bytes(b"half")
    labelled = label(job(tmp_path), InProcess())
    assert labelled == made[1]
    assert shards(tmp_path) == shards(made[0])


def test_a_worker_that_was_killed_is_said(tmp_path):
    with pytest.raises(TaktError, match="killed.*run again"):
        label(job(tmp_path, models=FakeModels(fatal=1)), Processes(1))


def test_changed_data_is_labelled_anew(made, tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    shutil.copytree(DATA, data)
    label(job(out, data), InProcess())
    before = {name: (out / name).stat().st_mtime_ns for name in shards(out)}
    os.utime(data / "data" / "chunk-000" / "episode_000002.parquet", ns=(0, 0))
    assert label(job(out, data), InProcess()).tally == made[1].tally
    after = {name: (out / name).stat().st_mtime_ns for name in shards(out)}
    assert [name for name in before if before[name] != after[name]] == ["episode-000002.parquet"]
    assert rows(out) == rows(made[0])


def test_only_the_cameras_asked_for_are_decoded(tmp_path, monkeypatch):
    decoded = []
    whole = LeRobotDataset.images
    monkeypatch.setattr(
        LeRobotDataset,
        "images",
        lambda self, index, camera: decoded.append(camera) or whole(self, index, camera),
    )
    label(job(tmp_path, config=LabelConfig(every_s=0.9, cameras=("wrist",))), InProcess())
    assert set(decoded) == {"wrist"}


def test_a_changed_model_is_noticed_and_a_missing_one_claims_nothing(tmp_path):
    out, folder = tmp_path / "out", tmp_path / "vlm"
    folders = ModelFolders(vlm=folder)
    with pytest.raises(TaktError, match="download"):
        label(job(out, models=folders), InProcess())
    assert not (out / "run.json").exists()
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    before = folders.facts()
    (folder / "config.json").write_text("{ }")
    assert folders.facts() != before


@pytest.mark.parametrize(
    "other", [{"config": LabelConfig(every_s=2.0)}, {"models": FakeModels("other")}]
)
def test_other_settings_are_refused(made, other):
    with pytest.raises(TaktError, match="other settings"):
        label(job(made[0], **other), InProcess())


def test_a_damaged_episode_is_named_or_left_out(tmp_path, made):
    data = tmp_path / "data"
    shutil.copytree(DATA, data)
    bad = data / "data" / "chunk-000" / "episode_000001.parquet"
    bad.write_bytes(bad.read_bytes()[:1000])
    with pytest.raises(BadEpisodeError, match=r"episode_000001.parquet: episode 1: .*--skip-bad"):
        label(job(tmp_path / "out", data), InProcess())
    labelled = label(job(tmp_path / "out", data), Processes(2), skip_bad=True)
    assert [(fault.episode, Path(fault.path)) for fault in labelled.faults] == [(1, bad)]
    whole = shards(made[0])
    whole.pop("episode-000001.parquet")
    assert shards(tmp_path / "out") == whole
    shutil.copy2(DATA / bad.relative_to(data), bad)
    assert label(job(tmp_path / "out", data), InProcess()) == made[1]
    bad.write_bytes(bad.read_bytes()[:1000])
    label(job(tmp_path / "out", data), InProcess(), skip_bad=True)
    assert shards(tmp_path / "out") == whole  # what it gave before is gone


def test_the_folder_of_another_kind_of_run_is_refused(tmp_path):
    claim(tmp_path, {"episodes": 430})
    with pytest.raises(TaktError, match="other settings.*episodes: 430"):
        label(job(tmp_path), InProcess())
    claim(tmp_path, {"episodes": 430})


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (LabelConfig(cameras=("rear",)), r"'rear'"),
        (LabelConfig(points=("nut",)), r"annotation.points with 1 points"),
    ],
)
def test_what_the_dataset_lacks_is_refused(tmp_path, config, named):
    with pytest.raises(FeatureMismatchError if config.points else TaktError, match=named):
        label(job(tmp_path, config=config), InProcess())


@pytest.mark.parametrize(
    ("folders", "phrases", "named"),
    [
        ({"detectors": (Path("a"),)}, ("cup",), "at least 2 detectors"),
        ({"detectors": (Path("a"),), "sam2": Path("s")}, ("cup",), "SAM 2 has no vote"),
        ({"detectors": (Path("a"), Path("./a"))}, ("cup",), "different"),
        ({"detectors": (Path("a"), Path("b"))}, (), "--phrases to look for"),
        ({}, ("cup",), "--detectors that look"),
    ],
)
def test_models_must_be_able_to_do_it(folders, phrases, named):
    with pytest.raises(TaktError, match=named):
        ModelFolders(**folders).require_use(LabelConfig(phrases=phrases))


def test_models_on_ray_are_told_where_to_run(tmp_path, capsys):
    options = ["--out", str(tmp_path / "set"), "--vlm", "a", "--executor", "ray"]
    assert main(["data", "label", str(DATA), *options]) == 2
    assert "--gpus" in capsys.readouterr().err


def test_the_command_needs_no_model_for_what_trajectories_tell(tmp_path, capsys):
    out = tmp_path / "set"
    assert main(["data", "label", str(DATA), "--out", str(out), "--json"]) == 0
    shown = capsys.readouterr()
    result = json.loads(shown.out.splitlines()[-1])
    assert result["episodes"] == 4
    assert result["tally"]["planning"] == 1
    assert "no column annotation.points" in shown.err
    assert main(["data", "inspect", str(out), "--json", "--decode"]) == 0
    seen = json.loads(capsys.readouterr().out)
    assert (seen["rows"], seen["problems"]) == (result["rows"], [])
    assert seen["tasks"] == {"embodied_qa": 7, "planning": 1}
    shard = out / "episode-000003.parquet"
    shard.write_bytes(shard.read_bytes()[:-20])
    assert main(["data", "inspect", str(out)]) == 2
    assert str(shard) in capsys.readouterr().err
