"""Any source of episodes into a LeRobot v3.0 dataset, from where an earlier run ended."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from takt.datasets.atomic import write_atomically
from takt.datasets.errors import (
    BadEpisodeError,
    CorruptFileError,
    EpisodeError,
    FeatureMismatchError,
)
from takt.datasets.fit import require_even, sound_episode
from takt.datasets.metadata import read_json
from takt.datasets.source import EpisodeSource
from takt.datasets.writer import LeRobotWriter

JOURNAL = Path("meta") / "conversion.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An episode of the source that was left out; `frame` is None where no single one is bad."""

    path: str
    episode: int
    frame: int | None
    message: str

    @classmethod
    def of(cls, error: EpisodeError) -> "Fault":
        """What `error` says."""
        return cls(
            path=str(error.path), episode=error.episode, frame=error.frame, message=error.reason
        )

    def __str__(self) -> str:
        """File, episode, frame, and what is wrong there."""
        frame = "" if self.frame is None else f", frame {self.frame}"
        return f"{self.path}: episode {self.episode}{frame}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """What the target holds now, and what was left out in this run and those before."""

    episodes: int
    faults: tuple[Fault, ...]


def convert(
    source: EpisodeSource,
    root: Path,
    origin: str,
    *,
    skip_bad: bool = False,
    report: Callable[[int], None] = lambda done: None,
) -> Converted:
    """Write every episode of `source` into `root`; `report(done)` follows each.

    `origin` says what the source is, so that a run into the same folder goes on only from the same.

    Every episode of the source ends either committed or in the journal of faults, so the next one
    is their sum, whenever an earlier run was interrupted or killed.

    Raises:
        BadEpisodeError: a bad episode, unless `skip_bad`; those before it are kept.
        FeatureMismatchError: `root` holds what came from another source.
        DatasetError: `root` cannot be written.
    """
    schema = source.schema
    require_even(schema.spec, root)
    require_own(root)
    with LeRobotWriter(root, schema.spec, extras=schema.extras, touch=schema.touch) as writer:
        journal = _Journal(root, origin)
        for index in range(writer.num_episodes + len(journal.faults), len(source)):
            report(index)
            try:
                episode = sound_episode(source, index)
            except EpisodeError as error:
                if not skip_bad:
                    raise BadEpisodeError(error) from error
                journal.add(Fault.of(error))
                continue
            writer.add_episode(episode)
        report(len(source))
        return Converted(episodes=writer.num_episodes, faults=tuple(journal.faults))


def require_own(root: Path) -> None:
    """Before a writer touches anything: a recorded dataset is not to be added to.

    Raises:
        FeatureMismatchError: `root` is one.
    """
    recorded = any((root / "meta" / "episodes").glob("*/*.parquet"))
    if recorded and not (root / JOURNAL).is_file():
        raise FeatureMismatchError(
            root, "expected a new folder, got a dataset that no conversion wrote; choose another"
        )


class _Journal:
    """The faults so far, on disk beside the dataset they are missing from."""

    def __init__(self, root: Path, origin: str) -> None:
        self._path = root / JOURNAL
        self._origin = origin
        self.faults: list[Fault] = []
        if self._path.is_file():
            self._read()
        else:
            self._write()

    def add(self, fault: Fault) -> None:
        self.faults.append(fault)
        self._write()

    def _read(self) -> None:
        raw = read_json(self._path)
        try:
            before, self.faults = raw["origin"], [Fault(**fault) for fault in raw["faults"]]
        except (KeyError, TypeError) as error:
            raise CorruptFileError(
                self._path, f"not the journal of a conversion ({error!r}); choose a new folder"
            ) from error
        if before != self._origin:
            raise FeatureMismatchError(
                self._path,
                f"was begun from {before!r}, not from {self._origin!r}; choose a new folder",
            )

    def _write(self) -> None:
        content = {"origin": self._origin, "faults": [asdict(fault) for fault in self.faults]}
        write_atomically(self._path, json.dumps(content, indent=2, ensure_ascii=False).encode())
