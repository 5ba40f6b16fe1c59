"""Crash-safe writer of LeRobot v3.0 datasets, one set of files per episode."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

from takt.datasets import schema, video
from takt.datasets.atomic import NO_SPACE, SUFFIX, open_atomically, write_atomically
from takt.datasets.errors import (
    DiskFullError,
    FeatureMismatchError,
    MissingColumnError,
    NotADatasetError,
    WriterClosedError,
)
from takt.datasets.fit import check_fit
from takt.datasets.layout import read_metadata
from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.metadata import ACTION, STATE, TOUCH, read_json
from takt.datasets.moments import NAMES, QUANTILES, Moments
from takt.datasets.parquet import read_table
from takt.datasets.schema import Schema
from takt.datasets.statistics import Statistics, embodiment_statistics
from takt.datasets.stored_moments import column_moments, read_moments
from takt.folder_lock import LOCK_NAME, FolderLock
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
            spec: The body; actions have the axes of its action space, states its measured axes.
            extras: Width of each further float32 column by name.
            touch: Width of the touch column; 0 leaves it out.

        Raises:
            NotADatasetError: the folder holds something else, or is a file.
            FolderInUseError: another writer is at work on it.
            FeatureMismatchError: the dataset there has another body, rate, cameras or columns.
            DiskFullError: no space for the metadata.
        """
        self.root = Path(root)
        self._schema = Schema(spec=spec, touch=touch, extras=dict(extras or {}))
        self._lengths: list[int] = []
        self._tasks: list[str] = []
        self._moments: dict[str, Moments] = {}
        if self.root.exists() and not self.root.is_dir():
            raise NotADatasetError(self.root, "expected a folder, got a file; choose another path")
        self._lock = FolderLock(self.root)
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise

    def _open(self) -> None:
        if (self.root / "meta" / "info.json").exists():
            self._check_same_features()
            self._recover()
        elif any(map(_is_content, self.root.rglob("*"))):
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
            FeatureMismatchError, CameraMismatchError, CaptureTimeError, RateMismatchError: it does
                not fit; nothing is written.
            DiskFullError: no space; every episode finished before is safe.
            WriterClosedError: the writer is closed.
        """
        if not self._lock.held:
            raise WriterClosedError(
                self.root, "expected an open writer, this one is closed; make another one"
            )
        check_fit(episode, self._schema, self.root)
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
        """Add exact quantiles to stats.json and let the next writer in. Idempotent.

        A dataset never closed lacks nothing else.
        """
        try:
            if self._lock.held and self.num_episodes:
                self._write_exact_quantiles()
        finally:
            self._lock.release()

    def __enter__(self) -> "LeRobotWriter":
        """The writer itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close; without the exact quantiles if an error or Ctrl-C is on its way out."""
        if kind is None:
            self.close()
        else:
            self._lock.release()

    def _write_episode(self, episode: Episode, index: int) -> None:
        first_row = sum(self._lengths)
        for name, key in self._schema.camera_keys().items():
            with open_atomically(self._file(schema.VIDEO_PATH, index, key)) as file:
                video.encode(episode.images[name], self.spec.rate_hz, file)
        tasks = list(dict.fromkeys([*self._tasks, *schema.episode_tasks(episode)]))
        if tasks != self._tasks:
            content = schema.parquet_bytes(schema.tasks_table(tasks))
            write_atomically(self.root / "meta" / "tasks.parquet", content)
            self._tasks = tasks
        rows = self._schema.data_table(episode, index, first_row, tasks)
        data_path = self._file(schema.DATA_PATH, index)
        moments = {**column_moments(rows, data_path), **self._schema.image_moments(episode)}
        row = self._schema.episode_row(episode, index, first_row, moments)
        write_atomically(data_path, schema.parquet_bytes(rows))
        write_atomically(self._file(schema.EPISODES_PATH, index), schema.parquet_bytes(row))
        self._lengths.append(len(episode.stamps))
        self._moments = _merged(self._moments, moments)
        self._write_derived()

    def _write_derived(self) -> None:
        """info.json and stats.json: totals that the episode files already imply."""
        info = self._schema.info(self.num_episodes, sum(self._lengths), len(self._tasks))
        write_atomically(self.root / "meta" / "info.json", _json(info))
        if self._moments:
            self._write_stats({})

    def _write_exact_quantiles(self) -> None:
        """Of what lerobot normalises by quantiles; the other columns keep the merged ones."""
        body = embodiment_statistics([LeRobotDataset.open(self.root)])[self.spec.name]
        exact = {STATE: body.state, ACTION: body.action}
        if body.touch is not None:
            exact[TOUCH] = body.touch
        with self._naming_full_disk():
            self._write_stats(exact)

    def _write_stats(self, exact: Mapping[str, Statistics]) -> None:
        stats = {key: moments.to_json() for key, moments in self._moments.items()}
        for key, whole in exact.items():
            stats[key] |= {name: getattr(whole, name).tolist() for name in QUANTILES}
        write_atomically(self.root / "meta" / "stats.json", _json(stats))

    def _recover(self) -> None:
        """Take the state from disk and remove what an unfinished episode left."""
        metadata = read_metadata(self.root)
        metadata.check_complete()
        if any(
            record.data_path != self._file(schema.DATA_PATH, record.index)
            for record in metadata.episodes
        ):
            raise FeatureMismatchError(
                self.root, "expected one file per episode; record into a new folder and merge"
            )
        self._tasks = [metadata.tasks[index] for index in sorted(metadata.tasks)]
        self._lengths = [record.length for record in metadata.episodes]
        self._moments = {}
        for index in range(self.num_episodes):
            self._moments = _merged(self._moments, self._stored_moments(index))
        self._discard(self.num_episodes)

    def _stored_moments(self, index: int) -> dict[str, Moments]:
        path = self._file(schema.EPISODES_PATH, index)
        features = self._schema.features()
        try:
            return read_moments(path, list(features), (*NAMES, *QUANTILES))
        except MissingColumnError:
            # Recorded when rows held less: the images keep what there is of them.
            data_path = self._file(schema.DATA_PATH, index)
            images = read_moments(path, list(self._schema.camera_keys().values()), NAMES)
            return {**column_moments(read_table(data_path), data_path), **images}

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


def _is_content(path: Path) -> bool:
    """Neither the lock nor what a killed writer left of its first metadata."""
    return path.is_file() and path.suffix != SUFFIX and path.name != LOCK_NAME


def _merged(whole: Mapping[str, Moments], part: Mapping[str, Moments]) -> dict[str, Moments]:
    if not whole:
        return dict(part)
    return {key: Moments.merged([whole[key], moments]) for key, moments in part.items()}


def _json(content: dict) -> bytes:
    return json.dumps(content, indent=4, ensure_ascii=False).encode()


def _shapes(features: dict[str, dict]) -> dict[str, tuple]:
    """What must agree to append: type and shape of every column."""
    return {key: (value["dtype"], tuple(value["shape"])) for key, value in features.items()}
