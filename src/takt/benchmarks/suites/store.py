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
        options: The suite's own, by name; where its `assets` lie does not tell runs apart.
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
        ours, theirs = (json.loads(config.to_json()) for config in (self, other))
        for config in (ours, theirs):
            config["options"].pop("assets", None)  # what they are is in the label
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
                if not (folder / "config.json").exists():
                    raise SuiteError(
                        f"{folder} holds trials, but not the config.json that says of which run; "
                        "choose a new --out"
                    )
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
        played = _read(path)
    except FileNotFoundError as error:
        raise SuiteError(
            f"expected a played trial at {path}, found none; run it first, or name the folder of a "
            "run of the same suite and options"
        ) from error
    if played.trial != trial:
        raise SuiteError(
            f"{path}: expected {trial}, got {played.trial}; it was played with other options: name "
            "the folder of a run with the same ones"
        )
    return played


def read_run(folder: Path) -> tuple[RunConfig, list[Played]]:
    """A run on disk, trials in the order of their names.

    Raises:
        SuiteError: there is none, or a file is damaged.
    """
    config = RunConfig.read(folder)
    return config, [_read(path) for path in sorted((folder / "trials").glob("*.msgpack"))]


def _read(path: Path) -> Played:
    try:
        played = _CODEC.decode(path.read_bytes())
        if not isinstance(played, Played):
            raise WireError(f"expected a played trial, got a {type(played).__name__}")
    except WireError as error:
        raise SuiteError(
            f"{path}: expected a played trial, got a damaged file; delete it and run the same "
            "command again: only this trial is repeated"
        ) from error
    return played


def _path(folder: Path, trial: Trial) -> Path:
    return folder / "trials" / f"{trial.key}.msgpack"
