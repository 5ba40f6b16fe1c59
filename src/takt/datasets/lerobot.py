"""Reader of LeRobot datasets, v2.1 and v3.0, images in parquet or as video."""

import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from takt.datasets import video
from takt.datasets.encoded_image import decode_image
from takt.datasets.episode_table import EpisodeTable, read_episode_table, require_rows
from takt.datasets.errors import (
    CameraMismatchError,
    CorruptFileError,
    EpisodeError,
    MissingColumnError,
)
from takt.datasets.layout import read_metadata
from takt.datasets.metadata import Camera, DatasetMetadata, EpisodeRecord
from takt.datasets.parquet import read_table
from takt.datasets.window import Window, window
from takt.types import Episode, Seconds, TaktError


@dataclass(frozen=True, slots=True, kw_only=True)
class LeRobotDataset:
    """Episodes of one dataset, by position. Nothing is held in memory but the metadata."""

    metadata: DatasetMetadata

    @classmethod
    def open(cls, root: Path) -> "LeRobotDataset":
        """Read the metadata of the dataset in `root`.

        Totals in info.json may lag behind: the episode files count.

        Raises:
            DatasetError: no dataset, an unknown version, or damaged metadata.
        """
        return cls(metadata=read_metadata(Path(root)))

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.metadata.episodes)

    def __iter__(self) -> Iterator[Episode]:
        """Every episode with all its images, in order."""
        return (self.episode(index) for index in range(len(self)))

    def episode(self, index: int, cameras: Sequence[str] | None = None) -> Episode:
        """Read one episode with the images of `cameras` (all if None; () decodes none).

        Its instruction is the first frame's; `instructions` has every frame's where they differ.

        Raises:
            DatasetError: a file is missing, damaged or contradicts the metadata.
        """
        record = self._record(index)
        table = read_episode_table(self.metadata, record)
        chosen = self._cameras(cameras)
        return Episode(
            embodiment=self.metadata.embodiment,
            instruction=table.tasks[0] if table.tasks else "",
            rate_hz=self.metadata.fps,
            stamps=table.stamps,
            images={camera.name: self.images(index, camera.name) for camera in chosen},
            image_stamps={camera.name: table.image_stamps[camera.name] for camera in chosen},
            state=table.state,
            actions=table.actions,
            touch=table.touch,
            extras=table.extras,
            instructions=table.tasks if len(set(table.tasks)) > 1 else (),
        )

    def images(self, index: int, camera: str) -> np.ndarray:
        """All frames of one camera in one episode, (tick, height, width, 3) uint8 RGB.

        Raises:
            DatasetError: a file is missing, damaged, or of another size or rate.
        """
        record, (chosen,) = self._record(index), self._cameras([camera])
        if chosen.is_video:
            return video.decode(self._clip(record, chosen))
        return _parquet_images(record, chosen)

    def table(self, index: int) -> EpisodeTable:
        """Read one episode's rows, no image."""
        return read_episode_table(self.metadata, self._record(index))

    def tables(self) -> Iterator[EpisodeTable]:
        """The rows of every episode in order, no image."""
        return (self.table(index) for index in range(len(self)))

    def window(
        self, frame: int, offsets_s: Mapping[str, Sequence[Seconds]]
    ) -> Mapping[str, Window]:
        """Rows around the dataset's `frame` (counted over all episodes), by column.

        Reads the episode anew: for many windows take `table` once and `takt.datasets.window`.

        Args:
            frame: Global row.
            offsets_s: For "observation.state", "action" or an extra column, its time offsets.

        Raises:
            CorruptFileError: the metadata of the episode with that frame is lost.
        """
        if not 0 <= frame < self.metadata.num_frames:
            raise TaktError(f"expected a frame in [0, {self.metadata.num_frames}), got {frame}")
        records = self.metadata.episodes
        index = bisect.bisect_right(records, frame, key=lambda record: record.first_row) - 1
        tick = frame - records[index].first_row
        if not 0 <= tick < records[index].length:
            raise CorruptFileError(
                self.metadata.root / "meta",
                f"expected an episode with frame {frame}, found none: its metadata is lost; "
                "`takt data inspect` tells which",
            )
        table = self.table(index)
        columns = {"observation.state": table.state, "action": table.actions, **table.extras}
        unknown = sorted(set(offsets_s) - set(columns))
        if unknown:
            raise TaktError(f"unknown columns {unknown}; known: {', '.join(columns)}")
        return {
            key: window(columns[key], tick, offsets, self.metadata.fps)
            for key, offsets in offsets_s.items()
        }

    def check_video(self, index: int, camera: str) -> None:
        """Look for every frame of one episode's video without decoding it.

        Raises:
            DatasetError: the video is missing, damaged, or of another size or rate.
        """
        (chosen,) = self._cameras([camera])
        video.check(self._clip(self._record(index), chosen))

    def _record(self, index: int) -> EpisodeRecord:
        if not 0 <= index < len(self):
            raise TaktError(
                f"{self.metadata.root}: expected an episode in [0, {len(self)}), got {index}"
            )
        return self.metadata.episodes[index]

    def _cameras(self, names: Sequence[str] | None) -> tuple[Camera, ...]:
        known = {camera.name: camera for camera in self.metadata.cameras}
        unknown = [name for name in names or () if name not in known]
        if unknown:
            raise CameraMismatchError(
                self.metadata.root, f"expected cameras among {list(known)}, got {unknown}"
            )
        return self.metadata.cameras if names is None else tuple(known[name] for name in names)

    def _clip(self, record: EpisodeRecord, camera: Camera) -> video.Clip:
        span = record.videos[camera.name]
        return video.Clip(
            path=span.path,
            episode=record.index,
            start_s=span.start_s,
            count=record.length,
            height=camera.height,
            width=camera.width,
            rate_hz=self.metadata.fps,
        )


def _parquet_images(record: EpisodeRecord, camera: Camera) -> np.ndarray:
    path = record.data_path
    try:
        table = read_table(path, [camera.key, "episode_index"], record.index)
    except MissingColumnError as error:
        raise CameraMismatchError(
            path,
            f"expected images of camera {camera.name!r}, which info.json lists, got none; copy the "
            "dataset again, or take the camera out of info.json",
            record.index,
        ) from error
    require_rows(table, record)
    frames = np.empty((record.length, camera.height, camera.width, 3), np.uint8)
    for tick, row in enumerate(table.column(camera.key).to_pylist()):
        try:
            frame = _decoded(row)
        except ValueError as error:
            raise EpisodeError(
                path,
                record.index,
                f"camera {camera.name!r}: {error}; copy the file again",
                tick,
            ) from error
        if frame.shape != frames.shape[1:]:
            raise CameraMismatchError(
                path,
                f"camera {camera.name!r}: expected {camera.height} x {camera.width} (height x "
                f"width, info.json), got {frame.shape[0]} x {frame.shape[1]}; correct info.json, "
                "or record or convert the episode again",
                record.index,
                tick,
            )
        frames[tick] = frame
    return frames


def _decoded(row: object) -> np.ndarray:
    match row:
        case {"bytes": bytes(encoded)}:
            return decode_image(encoded)
    raise ValueError("expected an embedded image, got none")
