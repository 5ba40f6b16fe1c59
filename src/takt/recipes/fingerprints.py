"""Whether files are still those of before: by name, size and time, which costs no reading."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from takt.types import TaktError

_MODEL = (".json", ".safetensors")


def files_fingerprint(paths: Iterable[Path]) -> str:
    """Changes with any of the files' names, sizes and times of change; a missing one has none."""
    digest = hashlib.sha256()
    for path in sorted(set(paths)):
        stat = path.stat() if path.is_file() else None
        facts = (path.name, stat and stat.st_size, stat and stat.st_mtime_ns)
        digest.update(f"{facts}\n".encode())
    return digest.hexdigest()[:16]


def model_fingerprint(folder: Path) -> str:
    """Of the weights and settings in a checkpoint's folder.

    Raises:
        TaktError: there are none.
    """
    paths = [path for path in folder.glob("*") if path.suffix in _MODEL]
    if not paths:
        raise TaktError(
            f"{folder}: expected a model's folder with config.json and safetensors, found neither; "
            "download the checkpoint there first"
        )
    return files_fingerprint(paths)
