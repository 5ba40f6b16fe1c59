"""Files that are either complete or not there."""

import contextlib
import errno
import os
from pathlib import Path

SUFFIX = ".tmp"
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that a kill or power cut leaves the old file or the new one.

    The temporary file lies beside it: a rename is atomic within one file system only. Its name
    ends in ".tmp", which no reader of the dataset globs for.

    Raises:
        OSError: no space, no permission; `path` is untouched and the temporary file removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + SUFFIX)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(folder: Path) -> None:
    """Put a rename in `folder` on disk, where it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
