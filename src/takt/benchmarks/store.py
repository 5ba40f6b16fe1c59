"""A shift on disk: its resolved config and one file per finished cycle, safe against any kill."""

import hashlib
from pathlib import Path

from takt.benchmarks.cycle import CycleRecord
from takt.benchmarks.motion import Motion
from takt.benchmarks.shift_config import ResolvedShift
from takt.datasets.atomic import write_atomically
from takt.folder_lock import FolderLock
from takt.runtime.wire import Codec, WireError
from takt.types import TaktError

_CODEC = Codec(CycleRecord, Motion)


class ShiftMismatchError(TaktError):
    """The folder holds another shift."""


class CycleFileError(TaktError):
    """A cycle's file is damaged or belongs to another cycle."""


def folder_digest(folder: Path, suffixes: tuple[str, ...] = ()) -> str:
    """Short SHA-256 over the names and bytes of a folder's files; of some suffixes only, if any."""
    digest = hashlib.sha256()
    paths = (path for path in folder.rglob("*") if path.is_file())
    for path in sorted(p for p in paths if not suffixes or p.suffix in suffixes):
        digest.update(str(path.relative_to(folder)).encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


class ShiftStore:
    """The folder of one shift, and the right to write to it until `close`."""

    def __init__(self, folder: Path, config: ResolvedShift) -> None:
        """Open or begin the shift described by `config`.

        Raises:
            ShiftMismatchError: the folder holds cycles of a shift with another config.
            FolderInUseError: another process is at work on it.
        """
        self.folder, self._seed = folder, config.seed
        self._lock = FolderLock(folder)
        try:
            self._begin(config)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let another process write."""
        self._lock.release()

    def _begin(self, config: ResolvedShift) -> None:
        path = self.folder / "config.json"
        if not path.exists() and _cycle_paths(self.folder):
            raise ShiftMismatchError(
                f"{self.folder} holds cycles, but not the config.json that says of which shift; "
                "choose a new --out"
            )
        if path.exists() and _cycle_paths(self.folder):
            differing = ResolvedShift.read(path).differences(config)
            if differing:
                raise ShiftMismatchError(
                    f"{self.folder} holds another shift ({'; '.join(differing)}); "
                    "choose a new --out, or ask for the same shift to resume it"
                )
        write_atomically(path, config.to_json().encode())

    def save(self, record: CycleRecord) -> None:
        """Keep a finished cycle."""
        write_atomically(self._path(record.cycle), _CODEC.encode(record))

    def load(self, cycle: int) -> CycleRecord | None:
        """A finished cycle, or None if it still has to be run.

        Raises:
            CycleFileError: its file is damaged or of another cycle.
        """
        path = self._path(cycle)
        return _read_cycle(path, cycle, self._seed + cycle) if path.exists() else None

    def _path(self, cycle: int) -> Path:
        return self.folder / "cycles" / f"{cycle:06d}.msgpack"


def read_shift(folder: Path) -> tuple[ResolvedShift, list[CycleRecord]]:
    """Config and cycles, in order, of a shift that was run before.

    Raises:
        TaktError: there is none, or it was not finished.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise TaktError(f"expected a shift in {folder}, found none; run `takt shift --out` first")
    config, paths = ResolvedShift.read(path), _cycle_paths(folder)
    if len(paths) < config.cycles:
        raise TaktError(
            f"expected a shift of {config.cycles} cycles in {folder}, found {len(paths)}; "
            "run its command again to finish it"
        )
    cycles = enumerate(paths[: config.cycles])
    return config, [_read_cycle(path, cycle, config.seed + cycle) for cycle, path in cycles]


def _read_cycle(path: Path, cycle: int, seed: int) -> CycleRecord:
    advice = "delete the file and run the shift's command again: only this cycle is repeated"
    try:
        record = _CODEC.decode(path.read_bytes())
    except WireError as error:
        raise CycleFileError(
            f"{path}: expected a finished cycle, got a damaged file; {advice}"
        ) from error
    if (record.cycle, record.seed) != (cycle, seed):
        raise CycleFileError(
            f"{path}: expected cycle {cycle} with seed {seed}, got cycle {record.cycle} with seed "
            f"{record.seed}; {advice}"
        )
    return record


def _cycle_paths(folder: Path) -> list[Path]:
    return sorted((folder / "cycles").glob("*.msgpack"))
