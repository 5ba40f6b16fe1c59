"""Files that are either complete or not there."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

SUFFIX = ".tmp"
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def open_atomically(path: Path) -> Iterator[IO[bytes]]:
    """A file that is at `path` once the block ends; a kill or power cut leaves what was there.

    The temporary file lies beside it: a rename is atomic within one file system only. Its name
    ends in ".tmp", which no reader of the dataset globs for.

    Raises:
        OSError: no space, no permission; `path` is untouched and the temporary file removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + SUFFIX)
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path`, as `open_atomically` does."""
    with open_atomically(path) as file:
        file.write(content)


def sync_directory(folder: Path) -> None:
    """Put a rename in `folder` on disk, where it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
