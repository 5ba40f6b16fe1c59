"""Decoded once, and again when the dataset has changed."""

import tracemalloc
from functools import partial

import numpy as np
import pytest
import ranks
import tiny

from takt.datasets.body import BodyEpisodes
from takt.datasets.errors import BadEpisodeError
from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.writer import LeRobotWriter
from takt.training.frame_cache import NoEpisodeError, held_out_frames, load_body_frames, load_frames
from takt.training.frames import stack_episodes
from takt.training.parallel import launch
from takt.types import TaktError


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


def test_mended_metadata_is_read_again(tmp_path):
    data, cache = tmp_path / "data", tmp_path / "frames"
    grow(data, 0)
    load(data, cache)
    info = data / "meta" / "info.json"
    info.write_text(info.read_text().replace('"robot_type": "tiny"', '"robot_type": "mended"'))
    load(data, cache)
    assert len(list(cache.iterdir())) == 2


def test_chosen_episodes_are_decoded_one_by_one_and_fitted(tmp_path):
    data, cache = tmp_path / "data", tmp_path / "frames"
    for seed in range(3):
        grow(data, seed)
    source = BodyEpisodes.of(LeRobotDataset.open(data), tiny.BODY)

    def halve(images):
        return images[:, ::2, ::2]

    frames = load_body_frames(source, (0, 2), cache, halve, "half").frames
    together = stack_episodes([source.episode(0), source.episode(2)], tiny.BODY, fit=halve)
    for name in ("sizes", "state", "actions", "last", "instructions"):
        np.testing.assert_array_equal(getattr(frames, name), getattr(together, name))
    rows = np.array([20, 3])
    stored, whole = (each.take(rows, 4).images.astype(int) for each in (frames, together))
    assert stored.shape == whole.shape
    other = together.images[rows[::-1]].astype(int)
    assert np.abs(stored - whole).mean() < 0.5 * np.abs(stored - other).mean()  # JPEG of noise
    assert len(load_body_frames(source, (1,), cache, halve, "half").frames) == 12


def test_damaged_episodes_are_left_out_by_wish_and_named(tmp_path):
    data, cache = tmp_path / "data", tmp_path / "frames"
    for seed in range(3):
        grow(data, seed)
    source = BodyEpisodes.of(LeRobotDataset.open(data), tiny.BODY)
    videos = sorted(data.rglob("*.mp4"))
    damaged = [path for path in videos if "front" in str(path)][1]
    damaged.write_bytes(damaged.read_bytes()[:50])
    take = partial(load_body_frames, source, (0, 1, 2), cache, lambda images: images, "whole")
    with pytest.raises(BadEpisodeError, match=rf"{damaged.name}: episode 1.*--skip-bad"):
        take()
    found = take(skip_bad=True)
    assert len(found.frames) == 24
    assert len(found.damaged) == 1
    assert "episode 1" in found.damaged[0]
    assert take(skip_bad=True).damaged == found.damaged  # from the cache, too
    with pytest.raises(BadEpisodeError, match="episode 1.*--skip-bad"):
        take()  # though the others are in the cache
    with pytest.raises(NoEpisodeError, match="1 damaged"):
        load_body_frames(source, (1,), cache, lambda images: images, "whole", skip_bad=True)
    none, unread = held_out_frames(source, (1,), cache, tiny.MODEL, skip_bad=True)
    assert none is None
    assert unread == found.damaged  # counted all the same


def test_ranks_agree_that_all_is_damaged_and_end_together(tmp_path):
    data, cache = tmp_path / "data", tmp_path / "frames"
    grow(data, 0)
    for video in data.rglob("*.mp4"):
        video.write_bytes(video.read_bytes()[:50])
    with pytest.raises(TaktError, match=r"^.*episode 0.*--skip-bad"):
        launch(ranks.read_what_is_damaged, 2, data, cache)
    found = [(cache / f"rank-{rank}").read_text() for rank in range(2)]
    assert found[0] == found[1]
    assert "episode 0" in found[0]


def test_one_episode_is_in_memory_at_a_time(tmp_path):
    data, cache = tmp_path / "data", tmp_path / "frames"
    for seed in range(12):
        grow(data, seed)
    source = BodyEpisodes.of(LeRobotDataset.open(data), tiny.BODY)
    one = 3 * 12 * tiny.PX * tiny.PX * 3
    held = []

    def fit(view):
        held.append(tracemalloc.get_traced_memory()[0])
        return view

    tracemalloc.start()
    load_body_frames(source, range(12), cache, fit, "whole")
    tracemalloc.stop()
    assert held[-3] - held[3] < 4 * one  # of the ten episodes between them
