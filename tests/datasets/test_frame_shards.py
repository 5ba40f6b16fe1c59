"""Frames kept as JPEG shards, and work done ahead of time."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from takt.datasets.errors import CorruptFileError, NotADatasetError
from takt.datasets.frame_shards import FrameShards
from takt.datasets.prefetch import prefetched
from takt.types import EmbodimentSpec, Episode, TaktError


@pytest.fixture
def episodes(make_episode: Callable[..., Episode]) -> list[Episode]:
    return [make_episode(seed, ticks) for seed, ticks in enumerate((5, 8))]


def images(episodes: list[Episode]) -> list[Mapping[str, np.ndarray]]:
    return [episode.images for episode in episodes]


def names(spec: EmbodimentSpec) -> list[str]:
    return [camera.name for camera in spec.cameras]


@pytest.fixture
def shards(root: Path, spec: EmbodimentSpec, episodes: list[Episode]) -> FrameShards:
    return FrameShards.build(images(episodes), names(spec), root, shard_bytes=4000)


def test_any_frame_of_any_episode(
    shards: FrameShards, episodes: list[Episode], spec: EmbodimentSpec
) -> None:
    assert len(shards) == 13
    assert len(shards.shards) > 1
    rows = np.array([12, 0, 5, 4])
    found = FrameShards.open(shards.folder).take(rows)
    for camera in spec.cameras:
        whole = np.concatenate([episode.images[camera.name] for episode in episodes])
        assert found[camera.name].shape == (4, camera.height, camera.width, 3)
        assert np.abs(found[camera.name].astype(int) - whole[rows]).max() < 40
        assert np.abs(found[camera.name].astype(int) - whole[rows]).mean() < 3


def test_interrupted_building_is_begun_again(
    root: Path, spec: EmbodimentSpec, episodes: list[Episode]
) -> None:
    with pytest.raises(KeyError, match="top"):
        FrameShards.build([episodes[0].images, {}], names(spec), root)
    assert not root.exists()
    with pytest.raises(NotADatasetError, match="build them first"):
        FrameShards.open(root)
    assert len(FrameShards.build(images(episodes), names(spec), root)) == 13
    with pytest.raises(TaktError, match="expected a new folder"):
        FrameShards.build(images(episodes), names(spec), root)


def test_damage_is_named(shards: FrameShards) -> None:
    first, last = shards.folder / "shard-00000.bin", sorted(shards.folder.glob("*.bin"))[-1]
    content = bytearray(first.read_bytes())
    content[:200] = bytes(200)
    first.write_bytes(content)
    with pytest.raises(CorruptFileError, match=r"shard-00000\.bin: frame 0, camera 'top'"):
        FrameShards.open(shards.folder).take(np.array([3, 0]))
    last.write_bytes(last.read_bytes()[:-1])
    with pytest.raises(CorruptFileError, match=f"{last.name}.*cut off"):
        FrameShards.open(shards.folder)


def test_prefetched_keeps_the_order() -> None:
    def work(job: int) -> int:
        time.sleep(0.01 * (job % 3 == 0))
        return job * job

    assert list(prefetched(range(20), work, workers=3)) == [job * job for job in range(20)]


def test_prefetched_runs_ahead_but_not_away() -> None:
    begun: list[int] = []
    stream = prefetched(range(100), begun.append, workers=2, ahead=4)
    assert begun == []
    next(stream)
    deadline = time.monotonic() + 5
    while len(begun) < 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert len(begun) == 4
    stream.close()
    assert len(begun) == 4
    assert not [t for t in threading.enumerate() if t.name.startswith("prefetch")]


def test_an_error_comes_out_in_its_place() -> None:
    stream = prefetched([2, 1, 0, 4], lambda job: 8 // job)
    assert [next(stream), next(stream)] == [4, 8]
    with pytest.raises(ZeroDivisionError):
        next(stream)
