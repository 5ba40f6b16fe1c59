"""Faults that would pass for data: each is refused, with file, episode, frame and what to do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from takt.datasets import video
from takt.datasets.errors import (
    CorruptFileError,
    DatasetError,
    EpisodeError,
    FeatureMismatchError,
    MissingDataError,
)
from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.writer import LeRobotWriter
from takt.types import Episode

Copy = Callable[[str], Path]
Edit = Callable[[Path, Callable[[dict[str, Any]], object]], None]
V21_IMAGE, V30_VIDEO = "v21_image_0.3.2", "v30_video_chunked_h264_0.6.1"


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(path)), path)


def episode_rows(root: Path, episode: int = 1) -> Path:
    return LeRobotDataset.open(root).metadata.episodes[episode].data_path


def test_lost_texts_of_tasks(copy_fixture: Copy) -> None:
    root = copy_fixture(V30_VIDEO)
    (root / "meta" / "tasks.parquet").unlink()
    with pytest.raises(MissingDataError, match=r"tasks\.parquet: expected .* copy"):
        LeRobotDataset.open(root)


def test_a_writer_does_not_number_tasks_anew_where_their_texts_are_lost(
    root: Path, writer: LeRobotWriter, make_episode: Callable[..., Episode]
) -> None:
    with writer:
        writer.add_episode(make_episode(0))
    (root / "meta" / "tasks.parquet").unlink()
    with pytest.raises(MissingDataError, match=r"tasks\.parquet"):
        LeRobotWriter(root, writer.spec, extras={"annotation.points": 4, "annotation.phase": 1})


def test_a_row_left_out(copy_fixture: Copy) -> None:
    root = copy_fixture(V21_IMAGE)
    path = episode_rows(root)

    def count_on(table: pa.Table) -> pa.Table:
        """The camera stood still for a tick: later rows are a frame late."""
        place = table.column_names.index("frame_index")
        frames = np.arange(len(table)) + (np.arange(len(table)) >= 4)
        stamps = pa.array((frames / 10).astype(np.float32))
        table = table.set_column(place, "frame_index", pa.array(frames))
        return table.set_column(table.column_names.index("timestamp"), "timestamp", stamps)

    rewrite(path, count_on)
    with pytest.raises(CorruptFileError, match="episode 1, frame 4: .* again") as caught:
        LeRobotDataset.open(root).table(1)
    assert (caught.value.episode, caught.value.frame) == (1, 4)


def test_rows_of_several_lengths_that_make_a_whole_number(copy_fixture: Copy) -> None:
    root = copy_fixture(V21_IMAGE)
    path = episode_rows(root)

    def shift(table: pa.Table) -> pa.Table:
        rows = table.column("action").to_pylist()
        rows[0], rows[1] = [*rows[0], 0.0], rows[1][:-1]
        place = table.column_names.index("action")
        return table.set_column(place, "action", pa.array(rows, pa.list_(pa.float32())))

    rewrite(path, shift)
    with pytest.raises(CorruptFileError, match="action.*expected rows of one length, .* again"):
        LeRobotDataset.open(root).table(1)


def test_fewer_images_than_rows(copy_fixture: Copy) -> None:
    root = copy_fixture(V21_IMAGE)
    rewrite(episode_rows(root), lambda table: table.slice(0, 9))
    with pytest.raises(CorruptFileError, match="episode 1: expected 15 rows .* got 9: .* copy"):
        LeRobotDataset.open(root).images(1, "front")


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_a_damaged_image_in_rows(copy_fixture: Copy, content: bytes) -> None:
    root = copy_fixture(V21_IMAGE)

    def damage(table: pa.Table) -> pa.Table:
        key = "observation.images.front"
        images = table.column(key).to_pylist()
        images[7] = {"bytes": content, "path": None}
        place = table.column_names.index(key)
        return table.set_column(place, key, pa.array(images, table.schema.field(key).type))

    rewrite(episode_rows(root), damage)
    with pytest.raises(EpisodeError, match="episode 1, frame 7: camera 'front': .* copy"):
        LeRobotDataset.open(root).images(1, "front")


def test_columns_of_language_are_left_out(copy_fixture: Copy, edit_info: Edit) -> None:
    root = copy_fixture(V21_IMAGE)
    path = episode_rows(root)
    rewrite(path, lambda t: t.append_column("language_events", [[["grasp"]] * len(t)]))
    feature = {"dtype": "language", "shape": [1], "names": None}
    edit_info(root, lambda info: info["features"].update(language_events=feature))
    assert "language_events" not in LeRobotDataset.open(root).table(1).extras


def test_an_episode_without_rows(
    root: Path, writer: LeRobotWriter, make_episode: Callable[..., Episode]
) -> None:
    with writer:
        writer.add_episode(make_episode(0))
    path = next(root.glob("meta/episodes/*/*.parquet"))
    rewrite(path, lambda t: t.set_column(t.column_names.index("length"), "length", pa.array([0])))
    with pytest.raises(DatasetError, match="episode 0: expected some rows"):
        LeRobotDataset.open(root).table(0)


def test_a_number_that_is_not_finite(
    writer: LeRobotWriter, make_episode: Callable[..., Episode]
) -> None:
    actions = np.zeros((12, 3), np.float32)
    actions[5, 1] = np.nan
    with writer, pytest.raises(FeatureMismatchError, match="frame 5: actions: .* finite"):
        writer.add_episode(make_episode(0, actions=actions))


def encode(path: Path, count: int, **options: str) -> None:
    """Frames that tell their number by their grey, at 10 Hz, with B-frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "10", **options})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for number in range(count):
            image = np.full((64, 64, 3), 5 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


@pytest.mark.parametrize("open_gop", ["0", "1"])
def test_an_episode_may_begin_anywhere_among_b_frames(tmp_path: Path, open_gop: str) -> None:
    path = tmp_path / "video.mp4"
    parameters = f"open-gop={open_gop}:scenecut=0"
    encode(path, 24, g="8", bf="3", **{"x264-params": parameters})
    for first in range(20):
        clip = video.Clip(
            path=path, episode=0, start_s=first / 10, count=4, height=64, width=64, rate_hz=10.0
        )
        wanted = 5 * np.arange(first, first + 4)
        np.testing.assert_allclose(video.decode(clip).mean((1, 2, 3)), wanted, atol=2.5)


def test_damage_within_a_video_is_no_image(tmp_path: Path) -> None:
    path, draw = tmp_path / "video.mp4", np.random.default_rng(0)
    tile = draw.integers(0, 255, (8, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    with path.open("wb") as file:
        video.encode(np.stack([np.roll(tile, 3 * tick, 1) for tick in range(40)]), 10.0, file)
    content, middle = bytearray(path.read_bytes()), path.stat().st_size // 2
    content[middle : middle + 64] = draw.integers(0, 255, 64, np.uint8).tobytes()
    path.write_bytes(content)
    clip = video.Clip(
        path=path, episode=3, start_s=0.0, count=40, height=64, width=64, rate_hz=10.0
    )
    with pytest.raises(CorruptFileError, match=r"(episode 3, frame \d+: .*|damaged.*) copy"):
        video.decode(clip)
