"""Crash-safe writer of LeRobot v3.0 datasets, one set of files per episode."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

import numpy as np

from takt.datasets import schema, video
from takt.datasets.atomic import NO_SPACE, SUFFIX, write_atomically
from takt.datasets.errors import (
    CameraMismatchError,
    CorruptFileError,
    DiskFullError,
    FeatureMismatchError,
    NotADatasetError,
    RateMismatchError,
)
from takt.datasets.layout import read_metadata
from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.metadata import ACTION, STATE, read_json
from takt.datasets.moments import NAMES, Moments
from takt.datasets.parquet import read_table
from takt.datasets.schema import Schema
from takt.datasets.statistics import QUANTILES, embodiment_statistics
from takt.types import EmbodimentSpec, Episode


class LeRobotWriter:
    """Appends episodes to the dataset in `root`, new or begun earlier.

    An episode's videos and rows are written first; the rename of its file in meta/episodes commits
    it. A kill before that leaves files that our reader never looks at and that reopening removes;
    what comes after it (info.json, stats.json) can be derived and is made again on reopening.
    """

    def __init__(
        self,
        root: Path,
        spec: EmbodimentSpec,
        *,
        extras: Mapping[str, int] | None = None,
        touch: int = 0,
    ) -> None:
        """Open `root` for appending; it is made if missing.

        Args:
            root: The dataset's folder.
            spec: The body; state and action have the axes of its action space.
            extras: Width of each further float32 column by name.
            touch: Width of the touch column; 0 leaves it out.

        Raises:
            NotADatasetError: the folder holds something else.
            FeatureMismatchError: the dataset there has another body, rate, cameras or columns.
            DiskFullError: no space for the metadata.
        """
        self.root = Path(root)
        self._schema = Schema(spec=spec, touch=touch, extras=dict(extras or {}))
        self._lengths: list[int] = []
        self._tasks: list[str] = []
        self._moments: list[dict[str, Moments]] = []
        if (self.root / "meta" / "info.json").exists():
            self._check_same_features()
            self._recover()
        elif any(path.is_file() and path.suffix != SUFFIX for path in self.root.rglob("*")):
            raise NotADatasetError(self.root, "expected a LeRobot dataset or an empty folder")
        with self._naming_full_disk():
            self._write_derived()

    @property
    def spec(self) -> EmbodimentSpec:
        """The body whose episodes it writes."""
        return self._schema.spec

    @property
    def num_episodes(self) -> int:
        """Finished episodes."""
        return len(self._lengths)

    def add_episode(self, episode: Episode) -> int:
        """Write one episode and return its index; when this returns, it survives a kill.

        Raises:
            FeatureMismatchError, CameraMismatchError, RateMismatchError: it does not fit; nothing
                is written.
            DiskFullError: no space; every episode finished before is safe.
        """
        self._check(episode)
        index = self.num_episodes
        try:
            with self._naming_full_disk():
                self._write_episode(episode, index)
        except BaseException:
            # Also after Ctrl-C, which may have come just before or just after the commit.
            self._recover()
            raise
        return index

    def close(self) -> None:
        """Add exact quantiles to stats.json; a dataset never closed lacks nothing else."""
        if self.num_episodes:
            body = embodiment_statistics([LeRobotDataset.open(self.root)])[self.spec.name]
            stats = self._merged_stats()
            for key, whole in ((STATE, body.state), (ACTION, body.action)):
                stats[key] |= {name: whole.to_json()[name] for name in QUANTILES}
            with self._naming_full_disk():
                write_atomically(self.root / "meta" / "stats.json", _json(stats))

    def __enter__(self) -> "LeRobotWriter":
        """The writer itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close, unless an error or Ctrl-C is on its way out."""
        if kind is None:
            self.close()

    def _write_episode(self, episode: Episode, index: int) -> None:
        first_row = sum(self._lengths)
        for name, key in self._schema.camera_keys().items():
            content = video.encode(episode.images[name], self.spec.rate_hz)
            write_atomically(self._file(schema.VIDEO_PATH, index, key), content)
        tasks = list(dict.fromkeys([*self._tasks, episode.instruction]))
        if tasks != self._tasks:
            content = schema.parquet_bytes(schema.tasks_table(tasks))
            write_atomically(self.root / "meta" / "tasks.parquet", content)
            self._tasks = tasks
        moments = self._schema.moments(episode)
        row = self._schema.episode_row(episode, index, first_row, moments)
        rows = self._schema.data_table(episode, index, first_row, tasks.index(episode.instruction))
        write_atomically(self._file(schema.DATA_PATH, index), schema.parquet_bytes(rows))
        write_atomically(self._file(schema.EPISODES_PATH, index), schema.parquet_bytes(row))
        self._lengths.append(len(episode.stamps))
        self._moments.append(moments)
        self._write_derived()

    def _write_derived(self) -> None:
        """info.json and stats.json: totals that the episode files already imply."""
        info = self._schema.info(self.num_episodes, sum(self._lengths), len(self._tasks))
        write_atomically(self.root / "meta" / "info.json", _json(info))
        if self._moments:
            write_atomically(self.root / "meta" / "stats.json", _json(self._merged_stats()))

    def _merged_stats(self) -> dict[str, dict]:
        return {
            key: Moments.merged([moments[key] for moments in self._moments]).to_json()
            for key in self._moments[0]
        }

    def _recover(self) -> None:
        """Take the state from disk and remove what an unfinished episode left."""
        metadata = read_metadata(self.root)
        if [record.index for record in metadata.episodes] != list(range(len(metadata.episodes))):
            raise CorruptFileError(
                self.root, "episodes are missing in between; cannot append to it"
            )
        if any(
            record.data_path != self._file(schema.DATA_PATH, record.index)
            for record in metadata.episodes
        ):
            raise FeatureMismatchError(
                self.root, "expected one file per episode; record into a new folder and merge"
            )
        self._tasks = [metadata.tasks[index] for index in sorted(metadata.tasks)]
        self._lengths = [record.length for record in metadata.episodes]
        self._moments = [self._stored_moments(index) for index in range(self.num_episodes)]
        self._discard(self.num_episodes)

    def _stored_moments(self, index: int) -> dict[str, Moments]:
        keys = (STATE, ACTION, *self._schema.camera_keys().values())
        names = (*NAMES, "count")
        columns = [f"stats/{key}/{name}" for key in keys for name in names]
        row = read_table(self._file(schema.EPISODES_PATH, index), columns).to_pylist()[0]
        return {
            key: Moments.from_json({name: row[f"stats/{key}/{name}"] for name in names})
            for key in keys
        }

    def _discard(self, index: int) -> None:
        """Remove the files of an uncommitted episode: lerobot globs and would see them."""
        paths = [self._file(schema.DATA_PATH, index), self._file(schema.EPISODES_PATH, index)]
        paths += [
            self._file(schema.VIDEO_PATH, index, key) for key in self._schema.camera_keys().values()
        ]
        for path in paths:
            for leftover in (path, path.with_name(path.name + SUFFIX)):
                with contextlib.suppress(OSError):
                    leftover.unlink(missing_ok=True)

    def _file(self, template: str, index: int, key: str = "") -> Path:
        chunk, file = divmod(index, schema.CHUNK_SIZE)
        return self.root / template.format(chunk_index=chunk, file_index=file, video_key=key)

    @contextlib.contextmanager
    def _naming_full_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            raise DiskFullError(
                self.root,
                f"disk full; {self.num_episodes} finished episodes are safe; "
                "make room and run the same command again to go on",
            ) from error

    def _check_same_features(self) -> None:
        path = self.root / "meta" / "info.json"
        stored, ours = read_json(path), self._schema.info(0, 0, 0)
        for key in ("codebase_version", "robot_type", "fps", "data_path", "video_path"):
            if stored.get(key) != ours[key]:
                raise FeatureMismatchError(
                    path, f"{key}: expected {ours[key]!r} to append, got {stored.get(key)!r}"
                )
        here, new = _shapes(stored.get("features", {})), _shapes(ours["features"])
        if here != new:
            differing = sorted(key for key in here | new if here.get(key) != new.get(key))
            raise FeatureMismatchError(
                path, f"columns differ: {', '.join(differing)}; record into a new folder"
            )

    def _check(self, episode: Episode) -> None:
        spec, width = self.spec, len(self._schema.axes)
        if episode.embodiment != spec.name:
            raise FeatureMismatchError(
                self.root,
                f"expected an episode of {spec.name!r}, got one of {episode.embodiment!r}",
            )
        if not len(episode.stamps):
            raise FeatureMismatchError(
                self.root, "expected at least one tick, the episode has none"
            )
        columns = {"state": (episode.state, width), "actions": (episode.actions, width)}
        touch = np.zeros((0, 0)) if episode.touch is None else episode.touch
        columns["touch"] = (touch, self._schema.touch)
        for name in {**self._schema.extras, **episode.extras}:
            rows = np.asarray(episode.extras.get(name, np.zeros((0, 0))))
            columns[name] = (rows, self._schema.extras.get(name, 0))
        for name, (rows, expected) in columns.items():
            if rows.ndim != 2 or rows.shape[1] != expected or not np.isfinite(rows).all():
                raise FeatureMismatchError(
                    self.root, f"{name}: expected finite (tick, {expected}), got {rows.shape}"
                )
        self._check_cameras(episode)
        self._check_rate(episode)

    def _check_cameras(self, episode: Episode) -> None:
        expected = {camera.name: camera for camera in self.spec.cameras}
        if set(episode.images) != set(expected) or set(episode.image_stamps) != set(expected):
            raise CameraMismatchError(
                self.root, f"expected the cameras {sorted(expected)}, got {sorted(episode.images)}"
            )
        for name, frames in episode.images.items():
            size = (len(episode.stamps), expected[name].height, expected[name].width, 3)
            if frames.shape != size or frames.dtype != np.uint8:
                raise CameraMismatchError(
                    self.root,
                    f"camera {name!r}: expected {size} uint8, got {frames.shape} {frames.dtype}",
                )

    def _check_rate(self, episode: Episode) -> None:
        rate = self.spec.rate_hz
        if episode.rate_hz != rate:
            raise RateMismatchError(self.root, f"expected {rate:g} Hz, got {episode.rate_hz:g} Hz")
        late = np.abs(episode.stamps - np.arange(len(episode.stamps)) / rate).max()
        # Rows are stored as tick / rate: what is off that grid must be aligned first, not bent.
        if late > 0.1 / rate:
            raise RateMismatchError(
                self.root, f"expected stamps at tick / {rate:g} Hz from 0, one is {late:.4f} s off"
            )


def _json(content: dict) -> bytes:
    return json.dumps(content, indent=4, ensure_ascii=False).encode()


def _shapes(features: dict[str, dict]) -> dict[str, tuple]:
    """What must agree to append: type and shape of every column."""
    return {key: (value["dtype"], tuple(value["shape"])) for key, value in features.items()}
