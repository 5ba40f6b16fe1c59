"""One writer per folder at a time, whatever becomes of the others."""

import fcntl
import os
from pathlib import Path
from typing import IO

from takt.types import TaktError

# In the folder's top, where no reader of a dataset globs.
LOCK_NAME = ".writer.lock"


class FolderInUseError(TaktError):
    """Another writer is at work in the folder."""


class FolderLock:
    """The right to write to a folder, which it makes if missing.

    It is a lock of the kernel on an empty file, so it ends with its process, however that ends.
    A release takes the file away; one that a killed writer left is simply locked again.
    """

    def __init__(self, root: Path) -> None:
        """Take the lock, without waiting.

        Raises:
            FolderInUseError: another writer has it.
        """
        root.mkdir(parents=True, exist_ok=True)
        self._path = root / LOCK_NAME
        self._file = _locked(self._path)
        while not _is_at(self._file, self._path):
            # Its last holder took the file away between our opening and locking it.
            self._file.close()
            self._file = _locked(self._path)

    @property
    def held(self) -> bool:
        """Whether it has not been released."""
        return not self._file.closed

    def release(self) -> None:
        """Let the next writer in. Idempotent."""
        if self.held:
            self._path.unlink(missing_ok=True)
            self._file.close()


def _locked(path: Path) -> IO[bytes]:
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise FolderInUseError(
            f"{path.parent}: expected to be the only writer, but another one is at work in this "
            "folder; wait until it ends or choose another folder"
        ) from error
    return file


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
