"""RoboMIND's arrays become episodes; with h5py also from real files."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import rlds_files as files

from takt.datasets.errors import CorruptFileError, EpisodeError, NotADatasetError
from takt.datasets.formats import ReadOptions, open_source
from takt.datasets.robomind import RobomindDataset
from takt.types import TaktError

TICKS = 5


def arrays(**changes: np.ndarray) -> dict[str, np.ndarray]:
    encoded = [np.frombuffer(files.jpeg(files.picture(16, 24, t)), np.uint8) for t in range(TICKS)]
    images = np.empty(TICKS, object)
    images[:] = encoded
    return {
        "puppet/joint_position": np.arange(TICKS * 8).reshape(TICKS, 8) / 8,
        "master/joint_position": np.arange(TICKS * 8).reshape(TICKS, 8) / 4,
        "observations/rgb_images/camera_top": images,
        "language_raw": np.array([b"bread on table"], object),
    } | changes


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        folder = tmp_path / "h5_franka" / "bread_on_table" / "success_episodes" / name / "data"
        folder.mkdir(parents=True)
        (folder / "trajectory.hdf5").touch()
    return tmp_path / "h5_franka"


def opened(root: Path, *contents: dict[str, np.ndarray]) -> RobomindDataset:
    """A dataset whose files hold `contents`."""

    def read(path: Path) -> Mapping[str, np.ndarray]:
        return contents[sorted(root.rglob("*.hdf5")).index(path)]

    return RobomindDataset.open(root, 30.0, read)


def test_an_episode(root: Path) -> None:
    without_language = arrays()
    del without_language["language_raw"]
    dataset = opened(root, arrays(), without_language)
    episode = dataset.episode(0)
    assert (episode.embodiment, episode.rate_hz) == ("h5_franka", 30)
    np.testing.assert_array_equal(episode.state[1], np.arange(8, 16) / 8)
    np.testing.assert_array_equal(episode.actions[1], np.arange(8, 16) / 4)
    assert episode.images["camera_top"].shape == (TICKS, 16, 24, 3)
    assert dataset.schema.spec.action_space.names[-1] == "joint_8"
    assert [dataset.episode(i).instruction for i in (0, 1)] == ["bread on table"] * 2


def test_two_arms(root: Path) -> None:
    content = arrays()
    for who in ("puppet", "master"):
        del content[f"{who}/joint_position"]
        content[f"{who}/joint_position_left"] = np.zeros((TICKS, 7))
        content[f"{who}/joint_position_right"] = np.ones((TICKS, 7))
    dataset = opened(root, content, content)
    np.testing.assert_array_equal(dataset.episode(0).state[0], [0] * 7 + [1] * 7)
    names = dataset.schema.spec.action_space.names
    assert (names[0], names[7]) == ("left_joint_1", "right_joint_1")


@pytest.mark.parametrize(
    ("key", "value", "frame", "message"),
    [
        ("puppet/joint_position", np.zeros((4, 8)), None, "puppet: expected 5 ticks, got 4"),
        ("master/joint_position", np.full((5, 8), np.nan), 0, "not finite"),
        ("master/joint_position", np.zeros(5), None, "expected master/joint_position"),
        (
            "observations/rgb_images/camera_top",
            np.array([b"x"] * 5, object),
            0,
            "expected a JPEG or PNG",
        ),
    ],
)
def test_a_fault_names_file_and_frame(
    root: Path, key: str, value: np.ndarray, frame: int | None, message: str
) -> None:
    with pytest.raises(EpisodeError, match=rf"b/data/trajectory\.hdf5: episode 1.*{message}") as e:
        opened(root, arrays(), arrays(**{key: value})).episode(1)
    assert e.value.frame == frame


def test_what_cannot_be_opened(root: Path, tmp_path: Path) -> None:
    with pytest.raises(TaktError, match="--rate"):
        RobomindDataset.open(root, None)
    with pytest.raises(CorruptFileError, match="none of 2 files"):
        opened(root, {}, {})
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotADatasetError, match="found none"):
        RobomindDataset.open(tmp_path / "empty", 30.0)


def test_real_files(root: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="writing HDF5 needs h5py, which `all` leaves out")
    for path in root.rglob("*.hdf5"):
        with h5py.File(path, "w") as file:
            for name, rows in arrays().items():
                if name.startswith("observations"):
                    kind = h5py.vlen_dtype(np.uint8)
                    data = file.create_dataset(name, (TICKS,), dtype=kind)
                    for tick, row in enumerate(rows):
                        data[tick] = row
                elif name == "language_raw":
                    file.create_dataset(name, data=list(rows))
                else:
                    file.create_dataset(name, data=rows)
    source = open_source(root, "robomind", ReadOptions(rate_hz=30.0))
    assert source.episode(0).images["camera_top"].shape == (TICKS, 16, 24, 3)
    path = source.path(1)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(EpisodeError, match="not readable as HDF5"):
        source.episode(1)
