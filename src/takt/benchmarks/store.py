"""A shift on disk: its resolved config and one file per finished cycle, safe against any kill."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from takt.benchmarks.cycle import CycleRecord
from takt.benchmarks.motion import Motion
from takt.datasets.atomic import write_atomically
from takt.runtime.wire import Codec
from takt.types import TaktError

_CODEC = Codec(CycleRecord, Motion)


class ShiftMismatchError(TaktError):
    """The folder holds another shift."""


def folder_digest(folder: Path) -> str:
    """Short SHA-256 over the names and bytes of a folder's files, compiled Python left out."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".pyc"):
        digest.update(str(path.relative_to(folder)).encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


class ShiftStore:
    """The folder of one shift."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Open or begin the shift described by the JSON-able `config`.

        Raises:
            ShiftMismatchError: the folder holds a shift with another config.
        """
        self.folder = folder
        path = folder / "config.json"
        if path.exists():
            _require_same(json.loads(path.read_text()), dict(config), folder)
        write_atomically(path, json.dumps(config, indent=2).encode())

    def save(self, record: CycleRecord) -> None:
        """Keep a finished cycle."""
        write_atomically(self._path(record.cycle), _CODEC.encode(record))

    def load(self, cycle: int) -> CycleRecord | None:
        """A finished cycle, or None if it still has to be run."""
        path = self._path(cycle)
        return _CODEC.decode(path.read_bytes()) if path.exists() else None

    def _path(self, cycle: int) -> Path:
        return self.folder / "cycles" / f"{cycle:06d}.msgpack"


def read_shift(folder: Path) -> tuple[dict[str, Any], list[CycleRecord]]:
    """Config and cycles, in order, of a shift that was run before.

    Raises:
        TaktError: there is no finished cycle.
    """
    paths = sorted((folder / "cycles").glob("*.msgpack"))
    if not paths or not (folder / "config.json").is_file():
        raise TaktError(f"expected a shift in {folder}, found none; run `takt shift --out` first")
    config = json.loads((folder / "config.json").read_text())
    return config, [_CODEC.decode(path.read_bytes()) for path in paths]


def _require_same(found: dict[str, Any], wanted: dict[str, Any], folder: Path) -> None:
    # more or fewer cycles of the same shift are the same shift
    differing = [
        f"{key}: found {found.get(key)!r}, asked {wanted.get(key)!r}"
        for key in sorted((found.keys() | wanted.keys()) - {"cycles"})
        if found.get(key) != wanted.get(key)
    ]
    if differing:
        raise ShiftMismatchError(
            f"{folder} holds another shift ({'; '.join(differing)}); "
            "choose a new --out, or ask for the same shift to resume it"
        )
