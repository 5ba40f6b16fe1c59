"""Damaged datasets: a named error that names the file, and `inspect` that goes on past it."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from takt.datasets import video
from takt.datasets.errors import (
    CameraMismatchError,
    CorruptFileError,
    DatasetError,
    MissingDataError,
    MissingVideoError,
    NotADatasetError,
    RateMismatchError,
    UnknownVersionError,
)
from takt.datasets.inspection import inspect
from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.writer import LeRobotWriter
from takt.types import Episode

Copy = Callable[[str], Path]
Edit = Callable[[Path, Callable[[dict[str, Any]], object]], None]
V21_VIDEO, V30_VIDEO = "v21_video_0.3.2", "v30_video_chunked_h264_0.6.1"
V21_IMAGE, V30_IMAGE = "v21_image_0.3.2", "v30_image_0.6.1"
FRONT = "observation.images.front"


def read_all(root: Path) -> None:
    for _ in LeRobotDataset.open(root):
        pass


def truncate(path: Path, share: float = 0.6) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def some(root: Path, pattern: str) -> Path:
    return sorted(root.rglob(pattern))[-1]


@pytest.mark.parametrize("name", [V21_VIDEO, V30_VIDEO])
def test_missing_video(copy_fixture: Copy, name: str) -> None:
    root = copy_fixture(name)
    path = some(root, "*.mp4")
    path.unlink()
    with pytest.raises(MissingVideoError, match=path.name):
        read_all(root)
    inspection = inspect(LeRobotDataset.open(root))
    assert [problem.path for problem in inspection.problems] == [path]
    assert inspection.state is not None
    assert inspection.state.count == 56


@pytest.mark.parametrize("name", [V21_VIDEO, V30_VIDEO])
def test_truncated_video(copy_fixture: Copy, name: str) -> None:
    root = copy_fixture(name)
    path = some(root, "*.mp4")
    truncate(path)
    with pytest.raises(CorruptFileError, match=path.name):
        read_all(root)
    assert [problem.path for problem in inspect(LeRobotDataset.open(root)).problems] == [path]


def test_video_shorter_than_its_episode(copy_fixture: Copy) -> None:
    root = copy_fixture(V30_VIDEO)
    path = some(root, "*.mp4")
    frames = np.zeros((18, 64, 64, 3), np.uint8)
    with path.open("wb") as file:
        video.encode(frames, 10.0, file)
    with pytest.raises(
        CorruptFileError, match=r"episode 3, frame 18: .* frame at 1\.8.* .18 of 20"
    ):
        read_all(root)
    assert len(inspect(LeRobotDataset.open(root)).problems) == 1


@pytest.mark.parametrize("name", [V21_IMAGE, V30_IMAGE, V30_VIDEO])
def test_truncated_rows(copy_fixture: Copy, name: str) -> None:
    root = copy_fixture(name)
    path = some(root / "data", "*.parquet")
    truncate(path)
    with pytest.raises(CorruptFileError, match=path.name):
        read_all(root)
    problems = inspect(LeRobotDataset.open(root)).problems
    assert {problem.path for problem in problems} == {path}


def test_missing_rows(copy_fixture: Copy) -> None:
    root = copy_fixture(V21_IMAGE)
    path = some(root / "data", "*.parquet")
    path.unlink()
    with pytest.raises(MissingDataError, match=path.name):
        read_all(root)
    state = inspect(LeRobotDataset.open(root)).state
    assert state is not None
    assert state.count == 36


@pytest.mark.parametrize("pattern", ["meta/episodes/*/*.parquet", "meta/tasks.parquet"])
def test_truncated_metadata(copy_fixture: Copy, pattern: str) -> None:
    root = copy_fixture(V30_VIDEO)
    path = next(root.glob(pattern))
    truncate(path)
    with pytest.raises(CorruptFileError, match=path.name):
        LeRobotDataset.open(root)


@pytest.mark.parametrize("name", [V21_IMAGE, V30_IMAGE, V30_VIDEO])
def test_camera_that_no_episode_has(copy_fixture: Copy, edit_info: Edit, name: str) -> None:
    root = copy_fixture(name)
    edit_info(root, lambda i: i["features"].update({FRONT + "2": i["features"][FRONT]}))
    with pytest.raises(CameraMismatchError, match="front2"):
        read_all(root)


@pytest.mark.parametrize("name", [V21_IMAGE, V21_VIDEO, V30_IMAGE, V30_VIDEO])
def test_camera_of_another_size(copy_fixture: Copy, edit_info: Edit, name: str) -> None:
    root = copy_fixture(name)
    edit_info(root, lambda info: info["features"][FRONT].update(shape=[96, 96, 3]))
    with pytest.raises(CameraMismatchError, match=r"96 x 96 .* 96 x 128"):
        read_all(root)
    assert inspect(LeRobotDataset.open(root), decode=True).problems


@pytest.mark.parametrize("name", [V21_IMAGE, V21_VIDEO, V30_IMAGE, V30_VIDEO])
def test_rows_at_another_rate(copy_fixture: Copy, edit_info: Edit, name: str) -> None:
    root = copy_fixture(name)
    edit_info(root, lambda info: info.update(fps=30))
    with pytest.raises(RateMismatchError, match="30 fps"):
        read_all(root)
    assert inspect(LeRobotDataset.open(root)).problems


def test_video_at_another_rate(copy_fixture: Copy) -> None:
    root = copy_fixture(V21_VIDEO)
    path = some(root, "*.mp4")
    with path.open("wb") as file:
        video.encode(np.zeros((40, 64, 64, 3), np.uint8), 20.0, file)
    with pytest.raises(RateMismatchError, match="expected 10 fps .* runs at 20 fps"):
        read_all(root)


def test_not_a_dataset(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(NotADatasetError, match="no meta/info.json"):
            LeRobotDataset.open(root)


@pytest.mark.parametrize("version", ["v2.0", "v4.0", None])
def test_unknown_version(copy_fixture: Copy, edit_info: Edit, version: str | None) -> None:
    root = copy_fixture(V30_IMAGE)
    edit_info(root, lambda info: info.update(codebase_version=version))
    with pytest.raises(UnknownVersionError, match=r"v2\.1 or v3\.0, got"):
        LeRobotDataset.open(root)


@pytest.mark.parametrize("key", ["fps", "features", "data_path"])
def test_info_without_a_field(copy_fixture: Copy, edit_info: Edit, key: str) -> None:
    root = copy_fixture(V21_IMAGE)
    edit_info(root, lambda info: info.pop(key))
    with pytest.raises(CorruptFileError, match=key):
        LeRobotDataset.open(root)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe"])
def test_info_that_is_no_json_object(copy_fixture: Copy, content: bytes) -> None:
    root = copy_fixture(V21_IMAGE)
    (root / "meta" / "info.json").write_bytes(content)
    with pytest.raises(CorruptFileError, match="JSON"):
        LeRobotDataset.open(root)


def test_unknown_path_field(copy_fixture: Copy, edit_info: Edit) -> None:
    root = copy_fixture(V30_IMAGE)
    edit_info(root, lambda info: info.update(data_path="data/{shard}.parquet"))
    with pytest.raises(CorruptFileError, match="path template"):
        LeRobotDataset.open(root)


def test_task_without_a_text(copy_fixture: Copy) -> None:
    root = copy_fixture(V21_IMAGE)
    path = root / "meta" / "tasks.jsonl"
    path.write_text(json.dumps({"task_index": 0, "task": "pick"}) + "\n")
    with pytest.raises(
        CorruptFileError, match=r"episode 1, frame 0: .* among \[0\] .* got 1: .* copy"
    ):
        read_all(root)


def test_rows_of_another_episode(copy_fixture: Copy) -> None:
    root = copy_fixture(V21_IMAGE)
    files = sorted((root / "data").rglob("*.parquet"))
    shutil.copy(files[0], files[1])
    with pytest.raises(DatasetError, match="episode 1: expected 15 rows .* got 0: .* copy"):
        read_all(root)


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_lost_episode(
    root: Path, writer: LeRobotWriter, make_episode: Callable[..., Episode], lost: int
) -> None:
    with writer:
        for seed in range(3):
            writer.add_episode(make_episode(seed))
    path = root / "meta" / "episodes" / "chunk-000" / f"file-00{lost}.parquet"
    path.unlink()
    dataset = LeRobotDataset.open(root)
    (problem,) = inspect(dataset).problems
    assert isinstance(problem, CorruptFileError)
    message = "expected 3 episodes .* got 2" if lost == 2 else f"expected episode {lost} from row"
    assert re.search(message, str(problem))
    files = set(root.rglob("*.*"))
    with pytest.raises(CorruptFileError, match="metadata .* is lost"):
        LeRobotWriter(root, writer.spec, extras={"annotation.points": 4, "annotation.phase": 1})
    assert set(root.rglob("*.*")) == files, "what is left of it is not thrown away"


@pytest.mark.parametrize(("lost", "frame"), [(0, 3), (1, 14)])
def test_a_frame_of_a_lost_episode(
    root: Path,
    writer: LeRobotWriter,
    make_episode: Callable[..., Episode],
    lost: int,
    frame: int,
) -> None:
    for seed in range(3):
        writer.add_episode(make_episode(seed))
    (root / "meta" / "episodes" / "chunk-000" / f"file-00{lost}.parquet").unlink()
    dataset = LeRobotDataset.open(root)
    with pytest.raises(CorruptFileError, match=f"an episode with frame {frame}, found none"):
        dataset.window(frame, {"action": [0.0]})
