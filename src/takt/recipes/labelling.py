"""A LeRobot dataset as a vision-language set, a file for each episode (paper section 2.1)."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from takt.datasets.atomic import write_atomically
from takt.datasets.conversion import Fault
from takt.datasets.errors import (
    BadEpisodeError,
    CameraMismatchError,
    CorruptFileError,
    DatasetError,
    EpisodeError,
)
from takt.datasets.labelling.axes import Axes
from takt.datasets.labelling.config import LabelConfig
from takt.datasets.labelling.embodied_questions import StateRange
from takt.datasets.labelling.episode_rows import EpisodeRows
from takt.datasets.labelling.frames import Frames
from takt.datasets.labelling.models import Models
from takt.datasets.labelling.point_trajectories import require_points
from takt.datasets.labelling.tally import Tally
from takt.datasets.lerobot_source import LeRobotSource
from takt.datasets.metadata import read_json
from takt.datasets.vision_language_writer import read_notes, write_rows
from takt.folder_lock import FolderLock
from takt.recipes.executors import Executor, execute
from takt.recipes.fingerprints import files_fingerprint
from takt.recipes.run_folder import claim, release
from takt.types import TaktError

_RANGE_FILE = "state_range.json"
_DONE_FILE = "labelled.json"
_TALLY, _SOURCE = "takt.tally", "takt.source"  # notes of a shard


class ModelSource(Protocol):
    """Says which models look at the images, and loads them where they are needed."""

    def load(self, config: LabelConfig) -> Models:
        """In the process that uses them."""
        ...

    def facts(self) -> Mapping[str, object]:
        """What tells these models from others, for the run's settings."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelJob:
    """What to label, how, with what, and where to."""

    dataset: Path
    out: Path
    config: LabelConfig
    models: ModelSource

    def shard(self, index: int) -> Path:
        """The file of one episode's rows."""
        return self.out / f"episode-{index:06d}.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """What the folder holds, and which episodes this run left out."""

    episodes: int
    tally: Tally
    faults: tuple[Fault, ...]


def label(
    job: LabelJob,
    executor: Executor,
    *,
    skip_bad: bool = False,
    report: Callable[[int], None] = lambda done: None,
) -> Labelled:
    """Label every episode that has no file in `job.out` yet; `report(done)` follows each.

    One whose data has changed since is labelled anew, with the state's range of the first time.
    `job.out` has a labelled.json once all is done. The rows depend on dataset, configuration and
    models alone, not on the executor.

    Raises:
        BadEpisodeError: a bad episode, unless `skip_bad`; those that are done are kept.
        TaktError: the folder holds rows of other settings, or the models cannot be loaded.
    """
    source = LeRobotSource.open(job.dataset)
    _require_fit(source, job.config)
    lock = FolderLock(job.out)
    try:
        _begin(job, source)
        there = _labelled(job, source)
        tally = sum(there.values(), Tally())
        left = [index for index in range(len(source)) if index not in there]
        faults: list[Fault] = []
        report(len(there))
        outcomes = execute(executor, partial(EpisodeLabeller, job), left) if left else ()
        for done, outcome in enumerate(outcomes, len(there) + 1):
            if isinstance(outcome, Tally):
                tally += outcome
            elif skip_bad:
                job.shard(outcome.episode).unlink(missing_ok=True)  # of what was there before
                faults.append(outcome)
            else:
                raise BadEpisodeError(_error(outcome))
            report(done)
        faults.sort(key=lambda fault: fault.episode)
        made = Labelled(episodes=len(source) - len(faults), tally=tally, faults=tuple(faults))
        write_atomically(job.out / _DONE_FILE, json.dumps(asdict(made), indent=1).encode())
        return made
    finally:
        lock.release()


class EpisodeLabeller:
    """Writes the rows of one episode after the other; a process has one."""

    def __init__(self, job: LabelJob) -> None:
        self._job = job
        self._source = LeRobotSource.open(job.dataset)
        self._axes = Axes.of(self._source.schema.spec.state_names)
        self._ranges = _state_range(self._source, job.out)
        self._models = job.models.load(job.config)

    def __call__(self, index: int) -> Tally | Fault:
        """The episode's numbers once its file is written, or what is wrong with it."""
        config, stamp = self._job.config, _episode_fingerprint(self._source, index)
        try:
            episode = self._source.episode(index, cameras=())
            frames = Frames.read(self._source, index, config)
        except DatasetError as error:
            return Fault.of(EpisodeError.of(error, index))
        made = EpisodeRows(episode, frames, index, self._ranges, self._axes, self._models, config)
        rows, tally = made.make()
        notes = {_TALLY: json.dumps(asdict(tally)), _SOURCE: stamp}
        write_rows(self._job.shard(index), rows, notes)
        return tally


def left_out(job: LabelJob) -> list[str]:
    """What no row will be about, and why."""
    source = LeRobotSource.open(job.dataset)
    axes, config = Axes.of(source.schema.spec.state_names), job.config
    lines: list[str] = []
    if not axes.grippers:
        lines.append("grippers: no axis of the state is named so (several fingers are no gripper)")
    if not axes.hands:
        lines.append("which way a hand moves: the state has no axes x, y and z of a hand")
    elif config.directions is None:
        lines.append("which way a hand moves: say where its x, y and z point with --directions")
    if config.points_key not in source.schema.extras:
        lines.append(f"point trajectories: the dataset has no column {config.points_key}")
    elif not config.points:
        lines.append(f"point trajectories: name the points of {config.points_key} with --points")
    return lines


def _require_fit(source: LeRobotSource, config: LabelConfig) -> None:
    known = [camera.name for camera in source.schema.spec.cameras]
    if not known or set(config.cameras) - set(known):
        raise CameraMismatchError(
            source.dataset.metadata.root,
            f"expected cameras among {known}, got {list(config.cameras) or 'none'}",
        )
    require_points(source, config)


def _settings(job: LabelJob) -> dict[str, object]:
    return {
        "dataset": str(job.dataset.resolve()),
        "label": asdict(job.config),
        "models": dict(job.models.facts()),
    }


def _begin(job: LabelJob, source: LeRobotSource) -> None:
    """The folder is this job's from now on, unless it has rows of another's."""
    settings = _settings(job)
    if not any(job.out.glob("*.parquet")):
        release(job.out, "label")
        (job.out / _RANGE_FILE).unlink(missing_ok=True)
    claim(job.out, settings)
    (job.out / _DONE_FILE).unlink(missing_ok=True)
    _state_range(source, job.out)


def _labelled(job: LabelJob, source: LeRobotSource) -> dict[int, Tally]:
    """What the episodes gave whose files are there, and whose data has not changed since."""
    tallies: dict[int, Tally] = {}
    for index in range(len(source)):
        shard = job.shard(index)
        if not shard.is_file():
            continue
        try:
            notes = read_notes(shard)
            if notes[_SOURCE] == _episode_fingerprint(source, index):
                tallies[index] = Tally(**json.loads(notes[_TALLY]))
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptFileError(
                shard, f"not written by `takt data label` ({error!r}); remove it"
            ) from error
    return tallies


def _episode_fingerprint(source: LeRobotSource, index: int) -> str:
    """Of the files with its rows, its images and the tasks' words."""
    paths = [source.path(index), *(source.dataset.metadata.root / "meta").glob("tasks.*")]
    if index < len(source.dataset):
        videos = source.dataset.metadata.episodes[index].videos
        paths += [span.path for span in videos.values()]
    return files_fingerprint(paths)


def _state_range(source: LeRobotSource, out: Path) -> StateRange:
    """Over all episodes that can be read; kept in `out`, so that it stays what it was."""
    path = out / _RANGE_FILE
    if not path.is_file():
        states: list[np.ndarray] = []
        for index in range(len(source.dataset)):
            try:
                table = source.dataset.table(index)
            except DatasetError:
                continue  # labelling says so
            state = table.extras.get(source.state_key, table.state)
            states += [state.min(axis=0), state.max(axis=0)]
        if not states:
            raise TaktError(f"{source.dataset.metadata.root}: no episode can be read")
        ends = {"low": np.min(states, axis=0).tolist(), "high": np.max(states, axis=0).tolist()}
        write_atomically(path, json.dumps(ends).encode())
    stored = read_json(path)
    return StateRange(np.array(stored["low"]), np.array(stored["high"]))


def _error(fault: Fault) -> EpisodeError:
    return EpisodeError(Path(fault.path), fault.episode, fault.message, fault.frame)
