"""What the writer writes comes back, and a finished episode is never lost."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from takt.datasets.errors import (
    CameraMismatchError,
    CaptureTimeError,
    DatasetError,
    FeatureMismatchError,
    NotADatasetError,
    RateMismatchError,
)
from takt.datasets.inspection import inspect
from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.writer import LeRobotWriter
from takt.types import CameraSpec, EmbodimentSpec, Episode

EXTRAS = {"annotation.points": 4, "annotation.phase": 1}
Make = Callable[..., Episode]
Same = Callable[[Episode, Episode], None]


def test_round_trip(
    root: Path, writer: LeRobotWriter, make_episode: Make, expect_same: Same
) -> None:
    episodes = [make_episode(0), make_episode(1, ticks=1, instruction="push"), make_episode(2)]
    assert [writer.add_episode(episode) for episode in episodes] == [0, 1, 2]
    assert writer.num_episodes == 3
    dataset = LeRobotDataset.open(root)
    assert len(dataset) == 3
    assert dataset.metadata.tasks == {0: "reach", 1: "push"}
    for got, wanted in zip(dataset, episodes, strict=True):
        expect_same(got, wanted)
    assert inspect(dataset, decode=True).problems == ()


def test_touch_comes_back(root: Path, spec: EmbodimentSpec, make_episode: Make) -> None:
    touch = np.arange(24, dtype=np.float32).reshape(12, 2)
    writer = LeRobotWriter(root, spec, touch=2)
    writer.add_episode(make_episode(0, extras={}, touch=touch))
    got = LeRobotDataset.open(root).episode(0).touch
    assert got is not None
    np.testing.assert_array_equal(got, touch)


def test_an_empty_touch_slot_is_left_out(
    root: Path, writer: LeRobotWriter, make_episode: Make
) -> None:
    writer.add_episode(make_episode(0, touch=np.zeros((12, 0), np.float32)))
    dataset = LeRobotDataset.open(root)
    assert dataset.metadata.feature("observation.touch") is None
    assert dataset.episode(0).touch is None


def test_layout_that_lerobot_reads(root: Path, writer: LeRobotWriter, make_episode: Make) -> None:
    with writer:
        writer.add_episode(make_episode(0))
        writer.add_episode(make_episode(1))
    info = json.loads((root / "meta" / "info.json").read_text())
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (2, 24, 1)
    assert info["splits"] == {"train": "0:2"}
    assert info["fps"] == 30
    assert info["features"]["observation.images.top"]["info"]["video.codec"] == "h264"
    assert not any(key.startswith("observation.touch") for key in info["features"])
    rows = pq.read_table(root / "data" / "chunk-000" / "file-001.parquet")
    assert rows.column("index").to_pylist() == list(range(12, 24))
    assert rows.schema.field("timestamp").type == "float"
    assert rows.schema.field("observation.state").type.list_size == 3
    tasks = pq.read_schema(root / "meta" / "tasks.parquet")
    assert json.loads(tasks.metadata[b"pandas"])["index_columns"] == ["task"]
    stats = json.loads((root / "meta" / "stats.json").read_text())
    states = np.concatenate([make_episode(0).state, make_episode(1).state])
    np.testing.assert_allclose(stats["observation.state"]["mean"], states.mean(0), atol=1e-6)
    np.testing.assert_allclose(stats["observation.state"]["q01"], np.quantile(states, 0.01, 0))
    assert np.shape(stats["observation.images.top"]["mean"]) == (3, 1, 1)


def test_resume(root: Path, spec: EmbodimentSpec, make_episode: Make, expect_same: Same) -> None:
    for seed in range(3):
        with LeRobotWriter(root, spec, extras=EXTRAS) as writer:
            assert writer.num_episodes == seed
            assert writer.add_episode(make_episode(seed)) == seed
    for seed, got in enumerate(LeRobotDataset.open(root)):
        expect_same(got, make_episode(seed))


def test_lagging_info_is_mended(root: Path, writer: LeRobotWriter, make_episode: Make) -> None:
    path = root / "meta" / "info.json"
    early = path.read_bytes()
    with writer:
        writer.add_episode(make_episode(0))
    late = path.read_bytes()
    path.write_bytes(early)
    (root / "meta" / "stats.json").unlink()
    assert len(LeRobotDataset.open(root)) == 1
    LeRobotWriter(root, writer.spec, extras=EXTRAS)
    assert path.read_bytes() == late
    assert (root / "meta" / "stats.json").exists()


def test_what_does_not_fit_is_refused(
    root: Path, writer: LeRobotWriter, make_episode: Make
) -> None:
    good = make_episode(0)
    nan = good.state.copy()
    nan[3] = np.nan
    jump = np.full(12, 0.0)
    jump[5] = np.nan
    small = {name: frames[:, :16] for name, frames in good.images.items()}
    top = {"top": good.images["top"]}
    future = {**good.image_stamps, "hand": good.stamps + 0.002}
    lost = {**good.image_stamps, "hand": np.where(good.stamps == 0, np.nan, good.stamps)}
    torn = {**good.image_stamps, "hand": good.stamps[:, None]}
    cases: list[tuple[type[DatasetError], str, Episode]] = [
        (FeatureMismatchError, "of 'toy', got", make_episode(0, embodiment="other")),
        (FeatureMismatchError, "at least one tick", make_episode(0, ticks=0)),
        (FeatureMismatchError, "state: expected finite", replace(good, state=nan)),
        (FeatureMismatchError, r"state: .* \(12, 2\)", replace(good, state=good.state[:, :2])),
        (FeatureMismatchError, "annotation.points", replace(good, extras={})),
        (FeatureMismatchError, "surplus", replace(good, extras={**good.extras, "surplus": nan})),
        (FeatureMismatchError, "touch", replace(good, touch=good.state)),
        (CameraMismatchError, "32, 48, 3", replace(good, images=small)),
        (CameraMismatchError, r"\['hand', 'top'\], got \['top'\]", replace(good, images=top)),
        (CaptureTimeError, "'hand': .* up to .* at tick 0", replace(good, image_stamps=future)),
        (CaptureTimeError, "'hand': .* got nan s at tick 0", replace(good, image_stamps=lost)),
        (
            CaptureTimeError,
            "one capture time a tick",
            replace(good, image_stamps=torn),
        ),
        (RateMismatchError, "30 Hz, got 10 Hz", replace(good, rate_hz=10.0)),
        (RateMismatchError, "stamps at tick", replace(good, stamps=good.stamps * 2)),
        (RateMismatchError, "one is nan s", replace(good, stamps=good.stamps + jump)),
    ]
    for error, message, episode in cases:
        with pytest.raises(error, match=message):
            writer.add_episode(episode)
    assert not list(root.rglob("*.parquet"))
    assert writer.add_episode(good) == 0


def test_another_body_cannot_append(root: Path, writer: LeRobotWriter) -> None:
    writer.close()
    spec = writer.spec
    camera = CameraSpec(name="top", view="Ego View", height=64, width=64)
    for other, extras, message in (
        (replace(spec, name="other"), EXTRAS, "robot_type"),
        (replace(spec, rate_hz=10.0), EXTRAS, "fps"),
        (replace(spec, cameras=(camera,)), EXTRAS, "observation.images.top"),
        (spec, {}, "annotation.points"),
    ):
        with pytest.raises(FeatureMismatchError, match=message):
            LeRobotWriter(root, other, extras=extras)


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path, spec: EmbodimentSpec) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(NotADatasetError, match="or an empty folder"):
        LeRobotWriter(tmp_path, spec)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
