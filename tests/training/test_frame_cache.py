"""Decoded once, and again when the dataset has changed."""

import numpy as np
import pytest
import tiny

from takt.datasets.writer import LeRobotWriter
from takt.training.frame_cache import load_frames


def grow(root, seed):
    with LeRobotWriter(root, tiny.BODY, extras={tiny.POINTS_KEY: 12}) as writer:
        writer.add_episode(tiny.episode(seed))


def load(root, cache):
    return load_frames([root], cache, tiny.BODY, tiny.POINTS_KEY, None)[0]


def test_a_dataset_is_decoded_once(tmp_path, monkeypatch):
    data, cache = tmp_path / "data", tmp_path / "frames"
    grow(data, 0)
    first = load(data, cache)
    with LeRobotWriter(data, tiny.BODY, extras={tiny.POINTS_KEY: 12}):
        pass  # resuming a run opens its dataset again
    monkeypatch.setattr("takt.training.frame_cache.LeRobotDataset.open", pytest.fail)
    np.testing.assert_array_equal(load(data, cache).images, first.images)


def test_a_grown_dataset_is_decoded_again(tmp_path):
    data, cache = tmp_path / "data", tmp_path / "frames"
    grow(data, 0)
    before = len(load(data, cache))
    grow(data, 1)
    assert len(load(data, cache)) == 2 * before
