"""A run of a suite on disk: what was asked for, and one file per played trial."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from takt.benchmarks.suites.suite import Played, SuiteError, Trial
from takt.datasets.atomic import write_atomically
from takt.folder_lock import FolderLock
from takt.runtime.closing import Closing
from takt.runtime.wire import Codec, WireError

_CODEC = Codec(Played, Trial)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """The `config.json` of a run: two with the same one are the same run.

    Attributes:
        suite: Name.
        options: The suite's own, by name; what they select may grow from run to run.
        label: See `Suite.label`.
        player: What was asked for, and what it runs on, in words.
        player_digest: Of a checkpoint's files; "" where there is none.
        versions: Of what determines the result, as the simulator's environment has it.
        takt_version: Of this package.
        code_digest: Of its sources.
    """

    suite: str
    options: Mapping[str, Any]
    label: str
    player: str
    player_digest: str
    versions: Mapping[str, str]
    takt_version: str
    code_digest: str

    def to_json(self) -> str:
        """The file's text."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What `to_json` gave.

        Raises:
            SuiteError: there is none, or it is damaged.
        """
        path = folder / "config.json"
        try:
            data = json.loads(path.read_text())
            return cls(**{field.name: data[field.name] for field in fields(cls)})
        except FileNotFoundError as error:
            raise SuiteError(
                f"expected a run of a suite in {folder}, found none; run `takt eval SUITE --out "
                f"{folder}` first"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise SuiteError(
                f"expected the config of a run in {path}, got {error!r}; it is damaged or of "
                "another version: choose a new --out"
            ) from error

    def differences(self, other: Self) -> list[str]:
        """Where `other` describes another run."""
        ours, theirs = json.loads(self.to_json()), json.loads(other.to_json())
        return [
            f"{key}: found {ours[key]!r}, asked {theirs[key]!r}"
            for key in ours
            if ours[key] != theirs[key]
        ]


class RunStore(Closing):
    """The folder of one run, and the right to write to it until `close`."""

    def __init__(self, folder: Path, config: RunConfig) -> None:
        """Open or begin the run described by `config`.

        Raises:
            SuiteError: the folder holds trials of another run.
            FolderInUseError: another process is at work on it.
        """
        self.folder = folder
        self._lock = FolderLock(folder)
        try:
            if any((folder / "trials").glob("*.msgpack")):
                differing = RunConfig.read(folder).differences(config)
                if differing:
                    raise SuiteError(
                        f"{folder} holds another run ({'; '.join(differing)}); choose a new "
                        "--out, or ask for the same run to resume it"
                    )
            write_atomically(folder / "config.json", config.to_json().encode())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let another process write. Idempotent."""
        self._lock.release()

    def save(self, played: Played) -> None:
        """Keep a trial."""
        write_atomically(_path(self.folder, played.trial), _CODEC.encode(played))

    def load(self, trial: Trial) -> Played | None:
        """A trial that was played, or None; errors as `read_trial`."""
        return read_trial(self.folder, trial) if _path(self.folder, trial).exists() else None


def read_trial(folder: Path, trial: Trial) -> Played:
    """A played trial of the run in `folder`.

    Raises:
        SuiteError: it was not played, or its file is damaged or of another trial.
    """
    path = _path(folder, trial)
    try:
        played = _CODEC.decode(path.read_bytes())
    except FileNotFoundError as error:
        raise SuiteError(f"expected a played trial at {path}, found none; run it first") from error
    except WireError as error:
        raise _broken(path, "a damaged file") from error
    if not isinstance(played, Played) or played.trial != trial:
        raise _broken(path, "another one")
    return played


def read_run(folder: Path) -> tuple[RunConfig, list[Played]]:
    """A run on disk, trials in the order of their names.

    Raises:
        SuiteError: there is none, or a file is damaged.
    """
    config, played = RunConfig.read(folder), []
    for path in sorted((folder / "trials").glob("*.msgpack")):
        try:
            played.append(_CODEC.decode(path.read_bytes()))
        except WireError as error:
            raise _broken(path, "a damaged file") from error
    return config, played


def _broken(path: Path, got: str) -> SuiteError:
    return SuiteError(
        f"{path}: expected a played trial, got {got}; delete the file and run the same command "
        "again: only this trial is repeated"
    )


def _path(folder: Path, trial: Trial) -> Path:
    return folder / "trials" / f"{trial.key}.msgpack"
