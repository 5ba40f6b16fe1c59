"""A run's folder: the body's file first, then training; and the named recipes."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny

from takt.benchmarks.checkpoint import packaged_checkpoint
from takt.datasets.errors import BadEpisodeError, RateMismatchError
from takt.datasets.writer import LeRobotWriter
from takt.embodiments.layouts import LAYOUTS
from takt.recipes import finetune
from takt.recipes.watch import WatchConfig
from takt.types import TaktError

DATA = Path(__file__).parents[1] / "data" / "lerobot" / "v21_image_0.3.2"


@pytest.fixture
def started(monkeypatch):
    """What would have been trained: the body's files of runs that could begin."""
    runs = []

    def finetune(config, body, data, init, out, report, begin, measures):
        if config.batch > 100:
            raise TaktError("too little data")
        begin()
        runs.append(body)

    monkeypatch.setattr("takt.training.finetuning.finetune", finetune)
    return runs


def run(
    out,
    config=finetune.RECIPES["finetune"],
    body=None,
    log=lambda line: None,
    ranks=1,
    data=DATA,
    **options,
):
    paths = {"data": data, "init": None, "body": body, "out": out}
    return finetune.run(config, **paths, ranks=ranks, log=log, **options)


def test_no_steps_give_a_file_to_correct_and_nothing_else(started, tmp_path):
    lines = []
    config = finetune.FinetuneConfig(steps=0)
    assert run(tmp_path, config, log=lines.append) is None
    assert [path.name for path in tmp_path.iterdir()] == ["body.toml"]
    assert "guess" in lines[0]
    assert "gripper 6" in lines[1]
    assert "front (96 x 128) as 'Ego View'" in lines[-1]
    assert started == []


def test_what_trains_badly_is_said_first(started, tmp_path):
    still, lines = tiny.episode(0), []
    still.state[:, 1] = 0.25
    with LeRobotWriter(tmp_path / "data", tiny.BODY, extras={tiny.POINTS_KEY: 12}) as writer:
        writer.add_episode(slow_camera(still))
    config = replace(finetune.RECIPES["finetune"], steps=0)
    run(tmp_path / "run", config, log=lines.append, data=tmp_path / "data")
    warnings = [line for line in lines if line.startswith("warning: ")]
    assert len(warnings) == 2
    assert "camera 'left' delivers 5 Hz into rows of 10 Hz" in warnings[0]
    assert "state axis 'left_jaw' is always 0.25" in warnings[1]


@pytest.mark.parametrize("lost", ["rows", "the file", "a number", "a stamp"])
def test_damaged_rows_can_be_skipped_from_the_first_command_on(lost, started, tmp_path):
    data, lines = shutil.copytree(DATA, tmp_path / "data"), []
    path = sorted((data / "data").rglob("*.parquet"))[1]
    if lost == "a number":
        write_column(path, "action", lambda rows: [*rows[:3], [float("nan")] * 7, *rows[4:]])
    elif lost == "a stamp":
        write_column(path, "timestamp", lambda rows: [*rows[:3], 9.0, *rows[4:]])
    elif lost == "rows":
        path.write_bytes(path.read_bytes()[:50])
    else:
        path.unlink()
    with pytest.raises(BadEpisodeError, match=rf"{path.name}: episode 1.*--skip-bad"):
        run(tmp_path / "run", finetune.FinetuneConfig(steps=0), data=data)
    config = finetune.FinetuneConfig(skip_bad=True)
    assert run(tmp_path / "run", config, data=data, log=lines.append) == tmp_path / "run/policy"
    if lost != "a number":  # one that the body might not even use
        assert any(line.startswith(f"warning: {path}") for line in lines)
    assert len(started) == 1


def write_column(path, name, change):
    table = pq.read_table(path)
    column = table.schema.get_field_index(name)
    field, rows = table.schema.field(column), change(table[name].to_pylist())
    pq.write_table(table.set_column(column, field, pa.array(rows, field.type)), path)


def test_a_rate_that_info_gets_wrong_is_not_damage_to_skip(started, tmp_path):
    data = shutil.copytree(DATA, tmp_path / "data")
    run(tmp_path / "run", finetune.FinetuneConfig(steps=0), data=data)
    body, info = tmp_path / "run" / "body.toml", data / "meta" / "info.json"
    info.write_text(info.read_text().replace('"fps": 10', '"fps": 30'))
    body.write_text(body.read_text().replace("rate_hz = 10", "rate_hz = 30"))
    config = finetune.FinetuneConfig(skip_bad=True)
    for file in (None, body):  # to be drafted, and given
        with pytest.raises(RateMismatchError, match=r"info.json: fps: expected .* 10 Hz, got 30"):
            run(tmp_path / "other", config, data=data, body=file)


def test_episodes_that_the_metadata_lost_are_said(started, tmp_path):
    data, lines = shutil.copytree(DATA, tmp_path / "data"), []
    listed = data / "meta" / "episodes.jsonl"
    listed.write_text("".join(listed.read_text().splitlines(keepends=True)[:2]))
    run(tmp_path / "run", finetune.FinetuneConfig(steps=0), data=data, log=lines.append)
    assert "expected 4 episodes (info.json), got 2" in lines[-1]


def slow_camera(episode):
    """Its left camera delivers every second frame."""
    stamps = {**episode.image_stamps, "left": np.repeat(episode.stamps[::2], 2)}
    return replace(episode, image_stamps=stamps)


def test_a_corrected_file_is_what_is_trained(started, tmp_path):
    run(tmp_path, finetune.FinetuneConfig(steps=0))
    file = tmp_path / "body.toml"
    file.write_text(file.read_text().replace("toy_arm", "my_arm"))
    assert run(tmp_path) == tmp_path / "policy"
    assert started == [file]
    assert json.loads((tmp_path / "run.json").read_text())["body"]["name"] == "my_arm"
    assert "my_arm" in file.read_text()


def test_a_run_is_not_mixed_with_another(started, tmp_path):
    run(tmp_path)
    run(tmp_path)
    with pytest.raises(TaktError, match="finetune.lora: None, now 8"):
        run(tmp_path, finetune.FinetuneConfig(lora=8))
    file = tmp_path / "body.toml"
    file.write_text(file.read_text().replace('slot = "left_gripper"', "slot = 13"))
    with pytest.raises(TaktError, match=r"body.axes.gripper: \[6,.*now \[13,"):
        run(tmp_path)
    assert len(started) == 2


def test_a_finished_run_is_trained_further_elsewhere(started, tmp_path):
    run(tmp_path, finetune.FinetuneConfig(steps=6))
    shutil.copytree(packaged_checkpoint("nano_station"), tmp_path / "policy")
    with pytest.raises(TaktError, match=r"steps: 6, now 10.*--init .*policy and another --out"):
        run(tmp_path, finetune.FinetuneConfig(steps=10))
    with pytest.raises(TaktError, match="no --rollout-every"):
        run(tmp_path / "new", watch=WatchConfig(rollout_every=5))


def test_a_run_that_could_not_begin_takes_no_folder(started, tmp_path):
    with pytest.raises(TaktError, match="too little data"):
        run(tmp_path, finetune.FinetuneConfig(batch=1000))
    assert [path.name for path in tmp_path.iterdir()] == ["body.toml"]
    run(tmp_path)
    with pytest.raises(TaktError, match="finetune.batch: 32, now 1000"):
        run(tmp_path, finetune.FinetuneConfig(batch=1000))
    assert len(started) == 1


def test_another_bodys_file_is_refused_before_anything_is_made(started, tmp_path):
    desk = Path(__file__).parents[2] / "examples" / "desk_arm.toml"
    with pytest.raises(TaktError, match="20 Hz"):
        run(tmp_path / "run", body=desk)
    with pytest.raises(TaktError, match="--ranks 0"):
        run(tmp_path / "run", ranks=0)
    assert not (tmp_path / "run").exists()


def test_the_named_recipes_are_the_released_checkpoints():
    released = {name: config for name, config in finetune.RECIPES.items() if name != "finetune"}
    assert {name: c.horizon for name, c in released.items()} == {
        "libero": 10,
        "calvin": 10,
        "fractal": 4,
        "bridge": 4,
    }
    for name, config in released.items():
        assert config.layout == name
        assert name in LAYOUTS
        assert config.execute == config.horizon
        assert config.contract == "hf_release"


def test_data_of_another_kind_is_not_libero(started, tmp_path):
    with pytest.raises(TaktError, match="state axes of layout 'libero'"):
        run(tmp_path, finetune.RECIPES["libero"])
    assert list(tmp_path.iterdir()) == []
