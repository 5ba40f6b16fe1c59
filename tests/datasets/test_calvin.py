"""CALVIN's files: one .npz per frame, spans of frames, labels that may not be unpickled."""

import json
from pathlib import Path

import numpy as np
import pytest

from takt.datasets.calvin import CalvinDataset
from takt.datasets.errors import CorruptFileError, EpisodeError, NotADatasetError
from takt.datasets.formats import detect_format

FIRST, COUNT = 360, 20


def frame(number: int) -> dict[str, np.ndarray]:
    return {
        "rgb_static": np.full((20, 20, 3), number % 256, np.uint8),
        "rgb_gripper": np.full((8, 8, 3), 255 - number % 256, np.uint8),
        "depth_static": np.zeros((20, 20), np.float32),
        "rel_actions": np.full(7, number / 8),
        "actions": np.full(7, number / 4),
        "robot_obs": number + np.arange(15) / 16,
        "scene_obs": np.zeros(24),
    }


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """Unlabelled play: frames 360 to 369, and 370 to 379."""
    for number in range(FIRST, FIRST + COUNT):
        np.savez_compressed(tmp_path / f"episode_{number:07d}.npz", **frame(number))  # pyright: ignore[reportArgumentType]
    np.save(tmp_path / "ep_start_end_ids.npy", np.array([[360, 369], [370, 379]]))
    return tmp_path


@pytest.fixture
def labelled(split: Path) -> Path:
    folder = split / "lang_annotations"
    folder.mkdir()
    labels = {"ann": ["open the drawer", "lift the block"], "indx": [[362, 365], [372, 379]]}
    (folder / "auto_lang_ann.json").write_text(json.dumps(labels))
    return split


def test_labelled_spans(labelled: Path) -> None:
    assert detect_format(labelled) == "calvin"
    dataset = CalvinDataset.open(labelled)
    assert len(dataset) == 2
    episode = dataset.episode(0)
    assert episode.instruction == "open the drawer"
    assert episode.rate_hz == 30
    np.testing.assert_array_equal(episode.images["base"][:, 0, 0, 0], [106, 107, 108, 109])
    assert episode.images["wrist"].shape == (4, 8, 8, 3)
    np.testing.assert_array_equal(episode.state[1], 363 + np.arange(7, dtype=np.float32) / 16)
    np.testing.assert_array_equal(episode.actions[:, 0], np.arange(362, 366) / 8)
    assert {name: rows.shape[1] for name, rows in episode.extras.items()} == {
        "robot_obs": 15,
        "scene_obs": 24,
        "actions": 7,
    }


def test_a_span_of_no_frames_is_a_fault(labelled: Path) -> None:
    path = labelled / "lang_annotations" / "auto_lang_ann.json"
    path.write_text(json.dumps({"ann": ["open", "lift"], "indx": [[362, 365], [379, 372]]}))
    with pytest.raises(EpisodeError, match="episode 1: expected frames 379 to 372"):
        CalvinDataset.open(labelled).episode(1)


def test_play_without_labels(split: Path) -> None:
    dataset = CalvinDataset.open(split)
    assert [len(dataset.episode(index).stamps) for index in range(2)] == [10, 10]
    assert dataset.episode(1).instruction == ""


def test_pickled_labels_are_not_opened(labelled: Path) -> None:
    path = labelled / "lang_annotations" / "auto_lang_ann.json"
    path.rename(path.with_suffix(".npy"))
    with pytest.raises(NotADatasetError, match=r"pickle.*auto_lang_ann\.json"):
        CalvinDataset.open(labelled)


def test_pickled_spans_are_not_opened(split: Path) -> None:
    spans = np.array([{"first": 360}], dtype=object)
    np.save(split / "ep_start_end_ids.npy", spans, allow_pickle=True)
    with pytest.raises(CorruptFileError, match="ep_start_end_ids"):
        CalvinDataset.open(split)


@pytest.mark.parametrize("damage", ["missing", "cut", "key", "size"])
def test_a_bad_frame_is_named(labelled: Path, damage: str) -> None:
    path = labelled / "episode_0000374.npz"
    match damage:
        case "missing":
            path.unlink()
        case "cut":
            path.write_bytes(path.read_bytes()[:500])
        case "key":
            np.savez(path, rgb_static=np.zeros((20, 20, 3), np.uint8))
        case "size":
            content = frame(374) | {"rgb_gripper": np.zeros((9, 8, 3), np.uint8)}
            np.savez(path, **content)  # pyright: ignore[reportArgumentType]
    dataset = CalvinDataset.open(labelled)
    with pytest.raises(EpisodeError, match="episode_0000374.npz: episode 1, frame 2") as caught:
        dataset.episode(1)
    assert caught.value.frame == 2
    assert len(dataset.episode(0).stamps) == 4


def test_labels_that_do_not_pair_up(labelled: Path) -> None:
    path = labelled / "lang_annotations" / "auto_lang_ann.json"
    path.write_text(json.dumps({"ann": ["a"], "indx": [[1, 2], [3, 4]]}))
    with pytest.raises(CorruptFileError, match="as many texts"):
        CalvinDataset.open(labelled)


def test_no_split(tmp_path: Path) -> None:
    with pytest.raises(NotADatasetError, match="`training` or `validation`"):
        CalvinDataset.open(tmp_path)
