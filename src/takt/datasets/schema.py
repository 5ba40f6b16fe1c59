"""What our writer puts into a LeRobot v3.0 dataset: its columns, tables and info.json."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from takt.datasets import video
from takt.datasets.metadata import ACTION, CAPTURE, IMAGES, STATE, TOUCH
from takt.datasets.moments import Moments
from takt.types import EmbodimentSpec, Episode

# One file per episode is a legal v3.0 layout: a finished episode is never rewritten.
CHUNK_SIZE = 1000
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """Columns of one body's recordings.

    `touch` and `extras[name]` count numbers per tick; touch 0 leaves that column out.
    """

    spec: EmbodimentSpec
    touch: int
    extras: Mapping[str, int]

    @property
    def axes(self) -> dict[str, tuple[str, ...]]:
        """Names of the measured and of the commanded axes by column."""
        return {STATE: self.spec.state_names, ACTION: self.spec.action_space.names}

    def camera_keys(self) -> dict[str, str]:
        """Feature key by camera name."""
        return {camera.name: IMAGES + camera.name for camera in self.spec.cameras}

    def features(self) -> dict[str, dict]:
        """The `features` of info.json."""
        names = {key: list(axes) for key, axes in self.axes.items()}
        vectors = {key: len(axes) for key, axes in names.items()}
        if self.touch:
            vectors[TOUCH] = self.touch
        vectors |= self.extras
        captures = [CAPTURE + camera.name for camera in self.spec.cameras]
        counters = ("frame_index", "episode_index", "index", "task_index")
        return {
            **{key: _feature("float32", width, names.get(key)) for key, width in vectors.items()},
            **{key: self._camera_feature(name) for name, key in self.camera_keys().items()},
            **{key: _feature("float64", 1) for key in captures},
            "timestamp": _feature("float32", 1),
            **{key: _feature("int64", 1) for key in counters},
        }

    def _camera_feature(self, name: str) -> dict:
        camera = next(camera for camera in self.spec.cameras if camera.name == name)
        return {
            "dtype": "video",
            "shape": [camera.height, camera.width, 3],
            "names": ["height", "width", "channels"],
            "info": {
                "video.height": camera.height,
                "video.width": camera.width,
                "video.codec": "h264",
                "video.pix_fmt": video.PIXEL_FORMAT,
                "video.fps": _plain(self.spec.rate_hz),
                "video.channels": 3,
                "has_audio": False,
                "video.g": video.GOP,
                "video.crf": video.CRF,
                "video.preset": None,
                "video.fast_decode": 0,
                "video.video_backend": "pyav",
                "video.extra_options": {"bf": video.ENCODER_OPTIONS["bf"]},
                "is_depth_map": False,
            },
        }

    def info(self, num_episodes: int, num_frames: int, num_tasks: int) -> dict:
        """The content of info.json."""
        return {
            "codebase_version": "v3.0",
            "robot_type": self.spec.name,
            "total_episodes": num_episodes,
            "total_frames": num_frames,
            "total_tasks": num_tasks,
            "chunks_size": CHUNK_SIZE,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 200,
            "fps": _plain(self.spec.rate_hz),
            "splits": {"train": f"0:{num_episodes}"},
            "data_path": DATA_PATH,
            "video_path": VIDEO_PATH,
            "features": self.features(),
        }

    def data_table(
        self, episode: Episode, index: int, first_row: int, known_tasks: Sequence[str]
    ) -> pa.Table:
        """The rows of one episode; their `task_index` counts in `known_tasks`."""
        ticks = len(episode.stamps)
        frame_index = np.arange(ticks)
        tasks = episode.instructions or (episode.instruction,) * ticks
        columns = {STATE: _vectors(episode.state), ACTION: _vectors(episode.actions)}
        if self.touch and episode.touch is not None:
            columns[TOUCH] = _vectors(episode.touch)
        columns |= {name: _vectors(episode.extras[name]) for name in self.extras}
        for camera in self.spec.cameras:
            stamps = np.asarray(episode.image_stamps[camera.name], np.float64)
            columns[CAPTURE + camera.name] = pa.array(stamps)
        return pa.table(
            {
                **columns,
                "timestamp": pa.array((frame_index / self.spec.rate_hz).astype(np.float32)),
                "frame_index": pa.array(frame_index),
                "episode_index": pa.array(np.full(ticks, index)),
                "index": pa.array(first_row + frame_index),
                "task_index": pa.array([known_tasks.index(task) for task in tasks], pa.int64()),
            }
        )

    def image_moments(self, episode: Episode) -> dict[str, Moments]:
        """Statistics of one episode by camera feature."""
        return {
            key: Moments.of_images(episode.images[name]) for name, key in self.camera_keys().items()
        }

    def episode_row(
        self, episode: Episode, index: int, first_row: int, moments: Mapping[str, Moments]
    ) -> pa.Table:
        """The single row of meta/episodes; once it is on disk the episode counts."""
        ticks = len(episode.stamps)
        chunk, file = divmod(index, CHUNK_SIZE)
        row: dict[str, object] = {
            "episode_index": index,
            "tasks": episode_tasks(episode),
            "length": ticks,
            "data/chunk_index": chunk,
            "data/file_index": file,
            "dataset_from_index": first_row,
            "dataset_to_index": first_row + ticks,
            "meta/episodes/chunk_index": chunk,
            "meta/episodes/file_index": file,
        }
        for key in self.camera_keys().values():
            row |= {
                f"videos/{key}/chunk_index": chunk,
                f"videos/{key}/file_index": file,
                f"videos/{key}/from_timestamp": 0.0,
                f"videos/{key}/to_timestamp": ticks / self.spec.rate_hz,
            }
        for key, moment in moments.items():
            row |= {f"stats/{key}/{name}": value for name, value in moment.to_json().items()}
        return pa.Table.from_pylist([row])


def episode_tasks(episode: Episode) -> list[str]:
    """Every instruction of an episode, once."""
    return list(dict.fromkeys(episode.instructions or (episode.instruction,)))


def tasks_table(tasks: Sequence[str]) -> pa.Table:
    """The table of tasks.parquet; lerobot reads it with pandas and wants the text as index."""

    def column(name: str, kind: str, dtype: str) -> dict[str, str | None]:
        return {
            "name": name,
            "field_name": name,
            "pandas_type": kind,
            "numpy_type": dtype,
            "metadata": None,
        }

    pandas = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [column("task_index", "int64", "int64"), column("task", "unicode", "object")],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.0.0",
    }
    table = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "task": list(tasks)})
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})


def parquet_bytes(table: pa.Table) -> bytes:
    """The table as a parquet file."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def _feature(dtype: str, width: int, names: list[str] | None = None) -> dict:
    return {"dtype": dtype, "shape": [width], "names": names}


def _plain(rate_hz: float) -> int | float:
    """lerobot writes whole rates as integers."""
    return int(rate_hz) if rate_hz == int(rate_hz) else rate_hz


def _vectors(rows: np.ndarray) -> pa.Array:
    """(tick, n) as lists of fixed size; one number per tick as a plain column, as in lerobot."""
    flat = pa.array(np.ascontiguousarray(rows, np.float32).reshape(-1))
    return flat if rows.shape[1] == 1 else pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])
