"""One episode's rows without its images: cheap to read, enough for statistics and indices."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from beartype import beartype
from jaxtyping import Float32, Float64, Int64, jaxtyped

from takt.datasets.errors import CorruptFileError, RateMismatchError
from takt.datasets.metadata import (
    ACTION,
    BOOKKEEPING,
    CAPTURE,
    STATE,
    TOUCH,
    DatasetMetadata,
    EpisodeRecord,
)
from takt.datasets.parquet import column_rows, read_table

# Timestamps are float32: after an hour they are good to 0.25 ms.
TOLERANCE_S = 1e-3


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeTable:
    """Rows of one episode. `stamps` and `image_stamps[camera]` are seconds from its start.

    `tasks[t]` is the instruction of row t. `state` or `actions` is (tick, 0) where the dataset has
    none. `extras` holds the other numeric columns, (tick, n) float32 by name.
    """

    stamps: Float64[np.ndarray, " tick"]
    state: Float32[np.ndarray, "tick state"]
    actions: Float32[np.ndarray, "tick action"]
    task_index: Int64[np.ndarray, " tick"]
    tasks: tuple[str, ...]
    image_stamps: Mapping[str, np.ndarray]
    touch: Float32[np.ndarray, "tick touch"] | None
    extras: Mapping[str, np.ndarray]


def read_episode_table(metadata: DatasetMetadata, record: EpisodeRecord) -> EpisodeTable:
    """Read one episode's rows and check them against the metadata.

    Raises:
        MissingDataError, CorruptFileError, RateMismatchError
    """
    widths = {feature.key: feature.width for feature in metadata.features if feature.width}
    table = read_table(
        record.data_path, list({**dict.fromkeys(BOOKKEEPING), **widths}), record.index
    )
    require_rows(table, record)
    _check_first_row(table, record)
    stamps = _stamps(table, metadata, record)
    task_index = column_rows(table, "task_index", record.data_path)[:, 0].astype(np.int64)
    captures = {camera.name: CAPTURE + camera.name for camera in metadata.cameras}
    own = {STATE, ACTION, TOUCH, *BOOKKEEPING, *captures.values()}

    def rows(key: str) -> np.ndarray:
        if key not in widths:
            return np.zeros((len(stamps), 0), np.float32)
        values = column_rows(table, key, record.data_path).astype(np.float32)
        if len(values) and values.shape[1] != widths[key]:
            raise CorruptFileError(
                record.data_path,
                f"{key}: expected {widths[key]} numbers a row (info.json), got {values.shape[1]}; "
                "copy the dataset again, or correct info.json",
                record.index,
            )
        return values

    return EpisodeTable(
        stamps=stamps,
        state=rows(STATE),
        actions=rows(ACTION),
        task_index=task_index,
        tasks=_task_texts(task_index, metadata, record),
        image_stamps={
            name: column_rows(table, key, record.data_path)[:, 0].astype(np.float64)
            if key in widths
            else stamps
            for name, key in captures.items()
        },
        touch=rows(TOUCH) if TOUCH in widths else None,
        extras={key: rows(key) for key in widths if key not in own},
    )


def require_rows(table: pa.Table, record: EpisodeRecord) -> None:
    """Raise a `CorruptFileError` unless the file holds as many rows as the metadata says."""
    if not record.length or table.num_rows != record.length:
        raise CorruptFileError(
            record.data_path,
            f"expected {record.length or 'some'} rows (meta/episodes), got {table.num_rows}: data "
            "and metadata are of different times; copy the dataset again",
            record.index,
        )


def require_finite(rows: np.ndarray, key: str, record: EpisodeRecord) -> None:
    """Raise a `CorruptFileError` with the first frame whose (tick, axis) `rows` are not finite."""
    bad = np.argwhere(~np.isfinite(rows))
    if len(bad):
        tick, axis = bad[0].tolist()
        raise CorruptFileError(
            record.data_path,
            f"expected finite numbers, got {rows[tick, axis]} on axis {axis} of {key}; "
            "`takt data convert --skip-bad` leaves such episodes out",
            record.index,
            tick,
        )


def _check_first_row(table: pa.Table, record: EpisodeRecord) -> None:
    first = int(column_rows(table, "index", record.data_path)[0, 0])
    if first != record.first_row:
        raise CorruptFileError(
            record.data_path,
            f"expected its first row to be {record.first_row} of the dataset, as meta/episodes "
            f"says, got {first} in the column index; copy the dataset again",
            record.index,
        )


def _stamps(table: pa.Table, metadata: DatasetMetadata, record: EpisodeRecord) -> np.ndarray:
    """Exact frame_index / fps: stored times are float32, too coarse to order against captures."""
    frame_index = column_rows(table, "frame_index", record.data_path)[:, 0]
    stored = column_rows(table, "timestamp", record.data_path)[:, 0].astype(np.float64)
    gaps = np.flatnonzero(frame_index != np.arange(len(frame_index)))
    if len(gaps):
        frame = int(gaps[0])
        raise CorruptFileError(
            record.data_path,
            f"expected the rows in order and none left out, got frame_index {frame_index[frame]}: "
            "images would not belong to their rows; record or convert the episode again",
            record.index,
            frame,
        )
    stamps = frame_index.astype(np.float64) / metadata.fps
    wrong = np.flatnonzero(np.abs(stored - stamps) > TOLERANCE_S)
    if len(wrong):
        frame = int(wrong[0])
        raise RateMismatchError(
            record.data_path,
            f"expected it at {stamps[frame]:.4f} s, as {metadata.fps:g} fps (info.json) tell, got "
            f"the timestamp {stored[frame]:.4f} s; correct fps if the timestamps are right, else "
            "record or convert the episode again",
            record.index,
            frame,
        )
    return stamps


def _task_texts(
    task_index: np.ndarray, metadata: DatasetMetadata, record: EpisodeRecord
) -> tuple[str, ...]:
    unknown = np.flatnonzero(~np.isin(task_index, list(metadata.tasks)))
    if len(unknown):
        frame = int(unknown[0])
        raise CorruptFileError(
            record.data_path,
            f"expected task_index among {sorted(metadata.tasks)} (meta/tasks), got "
            f"{task_index[frame]}: the task's text is lost; copy the dataset's meta folder again",
            record.index,
            frame,
        )
    return tuple(metadata.tasks[int(index)] for index in task_index)
