"""The reader against eight datasets written by the real lerobot (tests/data/lerobot)."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from takt.datasets.lerobot import LeRobotDataset
from takt.types import Episode, TaktError

FIXTURES = Path(__file__).parents[1] / "data" / "lerobot"
NAMES = sorted(path.name for path in FIXTURES.iterdir() if path.is_dir())


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def dataset(name: str) -> LeRobotDataset:
    return LeRobotDataset.open(FIXTURES / name)


def sha256(rows: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()


def test_there_are_eight() -> None:
    assert len(NAMES) == 8


def test_metadata(dataset: LeRobotDataset, name: str, expected: dict[str, Any]) -> None:
    common, metadata = expected["common"], dataset.metadata
    assert metadata.version == expected["datasets"][name]["codebase_version"]
    assert metadata.fps == common["fps"]
    assert metadata.embodiment == common["robot_type"]
    assert [record.length for record in metadata.episodes] == common["episode_lengths"]
    assert {task: index for index, task in metadata.tasks.items()} == common["task_index"]
    assert len(dataset) == common["total_episodes"]
    assert metadata.num_frames == common["total_frames"]
    for key, shape in common["features"].items():
        feature = metadata.feature(key)
        assert feature is not None
        assert list(feature.shape) == shape
    sizes = {camera.name: [camera.height, camera.width, 3] for camera in metadata.cameras}
    assert sizes == {
        "front": common["features"]["observation.images.front"],
        "wrist": common["features"]["observation.images.wrist"],
    }


def test_rows(dataset: LeRobotDataset, expected: dict[str, Any]) -> None:
    common, tables = expected["common"], list(dataset.tables())
    for key in ("observation.state", "action"):
        rows = [table.state if key == "observation.state" else table.actions for table in tables]
        assert sha256(np.concatenate(rows)) == common[key]["sha256_f32_le"]
    task_index = np.concatenate([table.task_index for table in tables])
    assert task_index.tolist() == common["frame_task_index"]
    assert tables[3].tasks[9:11] == ("把毛巾对折", "press the green button")
    done = np.concatenate([table.extras["next.done"] for table in tables])[:, 0]
    assert np.flatnonzero(done).tolist() == common["next.done_true_at"]
    reward = np.concatenate([table.extras["next.reward"] for table in tables])
    assert reward.sum() == common["next.reward_sum"]
    for table in tables:
        np.testing.assert_array_equal(table.stamps, np.arange(len(table.stamps)) / 10.0)
        np.testing.assert_array_equal(table.image_stamps["wrist"], table.stamps)


def test_images(dataset: LeRobotDataset, name: str, expected: dict[str, Any]) -> None:
    """Bit-exact from PNG; from video within 1 of lerobot's own decode, square within 2 columns."""
    sources = expected["common"]["source_frames"]
    decoded = expected["datasets"][name].get("decoded_frames")
    episodes = list(dataset)
    for frame, source in sources.items():
        episode, tick = episodes[source["episode_index"]], source["frame_index"]
        assert dataset.table(source["episode_index"]).tasks[tick] == source["task"]
        for camera in ("front", "wrist"):
            image = episode.images[camera][tick]
            if decoded is None:
                assert sha256(image) == source[camera]["sha256_rgb_hwc_u8"]
                continue
            wanted = decoded[frame][camera]["mean_rgb"]
            np.testing.assert_allclose(image.reshape(-1, 3).mean(axis=0), wanted, atol=1.0)
        columns = np.flatnonzero((episode.images["front"][tick].min(axis=2) > 128).any(axis=0))
        wanted = (decoded or sources)[frame]["front"]["square_columns"]
        np.testing.assert_allclose([columns[0], columns[-1]], wanted, atol=2)


def test_every_frame_shows_its_own_index(dataset: LeRobotDataset) -> None:
    """The wrist's blue is 10 x frame: an off-by-one or a wrong offset in a shared file shows."""
    for episode in dataset:
        blue = episode.images["wrist"][..., 2].mean(axis=(1, 2))
        np.testing.assert_allclose(blue, 10 * np.arange(len(blue)), atol=4)


def test_windows(dataset: LeRobotDataset, expected: dict[str, Any]) -> None:
    windows = expected["common"]["windows"]
    for frame, wanted in windows["at"].items():
        got = dataset.window(int(frame), windows["delta_timestamps"])
        for key, window in got.items():
            assert window.values[:, 0].tolist() == wanted[f"{key}_col0"]
            assert window.is_pad.tolist() == wanted[f"{key}_is_pad"]


def test_one_camera_only(dataset: LeRobotDataset) -> None:
    episode = dataset.episode(2, cameras=["wrist"])
    assert isinstance(episode, Episode)
    assert set(episode.images) == set(episode.image_stamps) == {"wrist"}
    assert dataset.episode(2, cameras=()).images == {}


def test_unknown_requests_name_what_is_known() -> None:
    dataset = LeRobotDataset.open(FIXTURES / "v30_image_0.6.1")
    with pytest.raises(TaktError, match=r"expected cameras among \['front', 'wrist'\]"):
        dataset.episode(0, cameras=["back"])
    with pytest.raises(TaktError, match=r"episode in \[0, 4\), got 4"):
        dataset.episode(4)
    with pytest.raises(TaktError, match=r"frame in \[0, 56\), got 56"):
        dataset.window(56, {"action": [0.0]})
    with pytest.raises(TaktError, match=r"multiples of 0.1 s"):
        dataset.window(0, {"action": [0.05]})
    with pytest.raises(TaktError, match=r"unknown columns \['torque'\]"):
        dataset.window(0, {"torque": [0.0]})
