"""An episode on disk while it happens: rows appended to one file, whole up to a kill.

    magic, length of the layout (uint32), the layout in JSON
    rows, all of one length, so that they can be mapped
    end mark and verdict (int8), missing if a kill cut the episode

The control loop only queues a row; a thread of the spool's own writes it.
"""

import contextlib
import os
import queue
import struct
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from takt.runtime.row import Row, RowLayout
from takt.types import Seconds, TaktError

MAGIC = b"takt spool 2\n"
_LENGTH = struct.Struct("<I")
_END = struct.Struct("<8sb")
_END_MARK = b"takt end"
_VERDICTS = {-1: None, 0: False, 1: True}
LAYOUT_BYTES = 1 << 20  # a longer one was never written


class SpoolError(TaktError):
    """Rows that could not be kept."""


@dataclass(frozen=True, slots=True)
class _End:
    success: bool | None


class Spool:
    """Appends to `path`; nothing is ever dropped."""

    def __init__(self, path: Path, layout: RowLayout, limit: int) -> None:
        """Begin the file.

        Args:
            path: Must not exist.
            layout: Of the rows to come.
            limit: Bytes that may wait for the disk before `put` refuses.

        Raises:
            SpoolError: there is no room for it.
        """
        self._path, self._layout, self._limit = path, layout, limit
        self._queue: queue.SimpleQueue[Row | _End] = queue.SimpleQueue()
        self._row_bytes = layout.dtype.itemsize
        self._taken, self._written, self._first = 0, 0, 0.0
        self._ending = False
        self._error: Exception | None = None
        try:
            self._file = path.open("xb")
        except OSError as error:
            raise SpoolError(f"{path}: {error}; record to a disk with room") from error
        self._written_out = threading.Event()
        self._thread = threading.Thread(target=self._write, name="spool", daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether all that will ever be in the file is in it."""
        return self._written_out.is_set()

    def put(self, row: Row) -> None:
        """Queue a row; returns at once.

        Raises:
            RowError: it does not fit the layout.
            SpoolError: it is off the beat, the disk failed, or is so far behind that memory would
                run out.
        """
        if self._error is not None:
            raise self._failure() from self._error
        self._layout.require_fit(row)
        self._require_beat(row.stamp)
        if (self._taken + 1 - self._written) * self._row_bytes > self._limit:
            raise SpoolError(
                f"expected a disk that keeps up, {self._limit >> 20} MiB wait for {self._path}; "
                "the body was stopped rather than leave a gap: record to a faster disk"
            )
        self._taken += 1
        self._queue.put(row)

    def end(self, success: bool | None) -> None:
        """No more rows: wait until everything is on disk. Idempotent, the first verdict counts.

        Interrupted, it may be called again.

        Raises:
            SpoolError: the disk failed; the rows before that are kept.
        """
        if not self._ending:
            self._ending = True
            self._queue.put(_End(success))
        # not join() alone: after an interrupted one, Python calls a thread dead that is at work
        self._written_out.wait()
        self._thread.join()
        if self._error is not None:
            raise self._failure() from self._error

    def _require_beat(self, stamp: Seconds) -> None:
        """A dataset keeps the tick's number only: stamps that are no such thing would be bent."""
        self._first = self._first if self._taken else stamp
        off = stamp - self._first - self._taken / self._layout.rate_hz
        if not abs(off) <= 0.1 / self._layout.rate_hz:
            raise SpoolError(
                f"expected a tick every {1 / self._layout.rate_hz:.4f} s, tick {self._taken} is "
                f"{off:.4f} s off; give the executor a clock of the body's rate"
            )

    def _write(self) -> None:
        try:
            layout = self._layout.to_json()
            self._file.write(MAGIC + _LENGTH.pack(len(layout)) + layout)
            while isinstance(entry := self._queue.get(), Row):
                for part in self._layout.parts(entry):
                    self._file.write(part.data)
                self._file.flush()
                self._written += 1
            verdict = -1 if entry.success is None else int(entry.success)
            self._file.write(_END.pack(_END_MARK, verdict))
            self._file.flush()
            os.fsync(self._file.fileno())
        except Exception as error:  # whatever it is, a row that is lost must be told of
            self._error = error
        finally:
            with contextlib.suppress(OSError):
                self._file.close()
            self._written_out.set()

    def _failure(self) -> SpoolError:
        return SpoolError(f"{self._path}: {self._error}; make room on the disk and record again")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spooled:
    """What a spool holds.

    Attributes:
        layout: Of its rows.
        rows: (tick,) of the layout's dtype, at least one, mapped: they take no memory.
        success: None where nobody judged.
        cut: By a kill or a full disk.
    """

    layout: RowLayout
    rows: np.ndarray
    success: bool | None
    cut: bool


def read_spool(path: Path) -> Spooled | None:
    """What is in a spool, a row that was cut off left out; None if there is no whole row.

    Raises:
        SpoolError: the file is no spool.
    """
    with path.open("rb") as file:
        start = file.read(len(MAGIC) + _LENGTH.size)
        if not MAGIC.startswith(start[: len(MAGIC)]):  # a kill may come before its last byte
            raise _other_file(path)
        if len(start) < len(MAGIC) + _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack(start[len(MAGIC) :])
        text = file.read(min(length, LAYOUT_BYTES + 1))
        if len(text) > LAYOUT_BYTES:
            raise _other_file(path)
        if len(text) < length:
            return None
        offset = file.tell()
        file.seek(max(offset, file.seek(0, os.SEEK_END) - _END.size))
        tail = file.read()
    try:
        layout = RowLayout.from_json(text)
    except (ValueError, TypeError, KeyError) as error:
        raise _other_file(path) from error
    return _mapped(path, layout, offset, tail)


def _mapped(path: Path, layout: RowLayout, offset: int, tail: bytes) -> Spooled | None:
    ticks, rest = divmod(path.stat().st_size - offset, layout.dtype.itemsize)
    if not ticks:
        return None
    ended = rest == _END.size and tail.startswith(_END_MARK)
    return Spooled(
        layout=layout,
        rows=np.memmap(path, layout.dtype, "r", offset, (ticks,)),
        success=_VERDICTS.get(_END.unpack(tail)[1]) if ended else None,
        cut=not ended,
    )


def _other_file(path: Path) -> SpoolError:
    return SpoolError(
        f"expected a spool of this version of takt in {path}, got another file; move it away"
    )
