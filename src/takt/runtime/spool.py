"""An episode on disk while it happens: rows appended to one file, whole up to a kill.

The control loop only queues a row; a thread of the spool's own encodes and writes it.
"""

import contextlib
import os
import queue
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from takt.runtime.tick import Authority
from takt.runtime.wire import Codec, WireError
from takt.types import Seconds, TaktError

_LENGTH = struct.Struct("<Q")
_MAGIC = b"takt spool 1\n"


class SpoolError(TaktError):
    """Rows that could not be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One executed tick.

    Attributes:
        stamp: Control time, seconds.
        wall_s: Monotonic time of this host at the end of the tick.
        image_stamps: Capture time by camera, on the control clock.
        images: (height, width, 3) uint8 RGB by camera.
        state: (state,) float32, measured.
        executed: (action,) float32 that the body was given.
        planned: (action,) float32 that the policy wished.
        authority: Who decided.
        instruction: Of this tick.
        touch: (touch,) float32.
    """

    stamp: Seconds
    wall_s: Seconds
    image_stamps: Mapping[str, Seconds]
    images: Mapping[str, np.ndarray]
    state: np.ndarray
    executed: np.ndarray
    planned: np.ndarray
    authority: Authority
    instruction: str
    touch: np.ndarray | None

    @property
    def size(self) -> int:
        """Bytes that it holds, about."""
        return sum(image.nbytes for image in self.images.values()) + 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The episode's last entry. `success` is None where nobody judged it."""

    success: bool | None
    why: str


CODEC = Codec(Row, End)


class Spool:
    """Appends to `path`; nothing is ever dropped."""

    def __init__(self, path: Path, limit: int) -> None:
        """Begin the file.

        Args:
            path: Must not exist.
            limit: Bytes that may wait for the disk before `put` refuses.
        """
        self._path, self._limit = path, limit
        self._queue: queue.SimpleQueue[Row | End | None] = queue.SimpleQueue()
        self._rows, self._taken, self._written = 0, 0, 0
        self._error: OSError | None = None
        self._file = path.open("xb")
        self._file.write(_MAGIC)
        self._thread = threading.Thread(target=self._write, name="spool", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        """Close at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    @property
    def rows(self) -> int:
        """How many were put."""
        return self._rows

    def put(self, entry: Row | End) -> None:
        """Queue an entry; returns at once.

        Raises:
            SpoolError: the disk failed, or is so far behind that memory would run out; an `End` is
                taken also then.
        """
        if self._error is not None:
            raise self._failure() from self._error
        if isinstance(entry, Row):
            self._taken += entry.size
        if isinstance(entry, Row) and self._taken - self._written > self._limit:
            raise SpoolError(
                f"expected a disk that keeps up, {self._limit >> 20} MiB wait for {self._path}; "
                "the body was stopped rather than leave a gap: record to a faster disk"
            )
        self._rows += isinstance(entry, Row)
        self._queue.put(entry)

    def close(self) -> None:
        """Wait until everything is on disk. Idempotent.

        Raises:
            SpoolError: the disk failed.
        """
        if not self._file.closed:
            self._queue.put(None)
            self._thread.join()
            with contextlib.suppress(OSError):
                self._file.close()
        if self._error is not None:
            raise self._failure() from self._error

    def _write(self) -> None:
        try:
            while (entry := self._queue.get()) is not None:
                data = CODEC.encode(entry)
                self._file.write(_LENGTH.pack(len(data)) + data)
                self._written += entry.size if isinstance(entry, Row) else 0
                if self._queue.empty():
                    self._file.flush()
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            self._error = error

    def _failure(self) -> SpoolError:
        return SpoolError(f"{self._path}: {self._error}; make room on the disk and record again")


def read_spool(path: Path) -> Iterator[Row | End]:
    """The entries of a spool; what a kill cut off is left out.

    Raises:
        SpoolError: the file is no spool.
    """
    with path.open("rb") as file:
        if not _MAGIC.startswith(file.read(len(_MAGIC))):  # a kill may come before its first byte
            raise SpoolError(f"expected a spool of takt in {path}, got another file; remove it")
        while len(head := file.read(_LENGTH.size)) == _LENGTH.size:
            (length,) = _LENGTH.unpack(head)
            data = file.read(length)
            if len(data) < length:
                return
            try:
                yield CODEC.decode(data)
            except WireError as error:
                raise SpoolError(f"{path}: {error}") from error


def wall_s() -> Seconds:
    """This host's monotonic clock."""
    return time.monotonic()
