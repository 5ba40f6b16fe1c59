"""Messages between a parent and its child on one host: shared memory, and pipes as semaphores.

A writer copies arrays once, into a slot of a memory that both ends map; the reader sees them there.
A pipe counts the messages, one token each, as in make's job server. It wakes as fast as a POSIX
semaphore to a microsecond (`bench/wake_ups.py`), and unlike one it can wait for a message, for a
deadline and for the death of the other end at once. Memory and pipes have no names: however the two
processes end, the kernel leaves nothing behind.
"""

import mmap
import os
import select
import struct
import weakref
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import partial
from typing import Any

import msgpack
import numpy as np

from takt.runtime.closing import Closing
from takt.runtime.wire import ARRAY_KINDS, WireError
from takt.types import Seconds, TaktError

SLOTS = 8
LENT_AT_MOST = 4  # the other slots are for messages that are not read yet
SLOT_BYTES = 128 * 2**20  # of address space; memory is taken page by page as messages need it
_COPIED_BYTES = 2**16  # a smaller body is cheaper to copy than to lend
_ALIGNMENT = 64  # bytes of a cache line
_HELD_BYTES = mmap.PAGESIZE  # byte i says whether slot i holds something that is still needed
_TOKEN = struct.Struct("=BI")  # slot, bytes of the layout if it differs from the last message's


class MessageTooLargeError(TaktError):
    """A message does not fit into a slot."""


# A message taken apart: (form, numbers, arrays). The form is what rarely differs from the last
# message's, such as names: text, bytes, integers, flags, and tuples of them. It travels only when
# it, or an array's shape or dtype, has changed. A plain tuple: making a class takes longer.
Parcel = tuple[tuple[Any, ...], tuple[float, ...], Sequence[np.ndarray]]


@dataclass(frozen=True, slots=True)
class Handles:
    """File descriptors of one end: memory and bell to write to, memory and bell to read from."""

    outbox: int
    out_bell: int
    inbox: int
    in_bell: int

    def __str__(self) -> str:
        """As `parse` reads them."""
        return ",".join(map(str, astuple(self)))

    @classmethod
    def parse(cls, text: str) -> "Handles":
        """Handles from the command line of a child that inherited them."""
        return cls(*map(int, text.split(",")))

    def close(self) -> None:
        """Close all four in this process."""
        for descriptor in astuple(self):
            os.close(descriptor)


def open_pair() -> tuple[Handles, Handles]:
    """The handles of the two ends of a new channel."""
    there, back = (_new_memory() for _ in range(2))
    (back_ear, back_bell), (there_ear, there_bell) = os.pipe(), os.pipe()
    return (
        Handles(there, there_bell, back, back_ear),
        Handles(os.dup(back), back_bell, os.dup(there), there_ear),
    )


def _new_memory() -> int:
    memory = os.memfd_create("takt")
    os.ftruncate(memory, _HELD_BYTES + SLOTS * SLOT_BYTES)
    return memory


class Layout:
    """Where the parts of a parcel lie in its slot: numbers first, then each array."""

    def __init__(self, form: tuple[Any, ...], count: int, kinds: Sequence["Kind"]) -> None:
        """For `count` numbers and arrays of these kinds.

        Raises:
            WireError: an array holds no numbers.
        """
        self.form, self.numbers = form, struct.Struct(f"{count}d")
        self.arrays: list[tuple[tuple[int, ...], np.dtype, int]] = []
        self.size = _aligned(self.numbers.size)
        for shape, dtype in kinds:
            if dtype.kind not in ARRAY_KINDS:
                raise WireError(f"expected arrays of numbers, got dtype {dtype}; convert it first")
            self.arrays.append((shape, dtype, self.size))
            self.size += _aligned(dtype.itemsize * int(np.prod(shape)))

    def views(self, memory: mmap.mmap | bytearray | np.ndarray, start: int) -> list[np.ndarray]:
        """The arrays of a parcel whose numbers are at byte `start` of `memory`; writable."""
        return [np.ndarray(shape, dtype, memory, start + at) for shape, dtype, at in self.arrays]

    def encode(self) -> bytes:
        """Bytes for `decode`."""
        kinds = [(shape, dtype.str) for shape, dtype, _ in self.arrays]
        return msgpack.packb((self.form, self.numbers.size // 8, kinds)) or b""

    @classmethod
    def decode(cls, data: bytes) -> "Layout":
        """The layout that the other end has sent.

        Raises:
            WireError: it is none.
        """
        try:
            form, count, named = msgpack.unpackb(data, use_list=False)
            kinds = [(shape, np.dtype(name)) for shape, name in named]
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise WireError(
                f"expected a message's layout, got {len(data)} other bytes ({error}); "
                "do both processes run the same version of takt?"
            ) from error
        return cls(form, count, kinds)


Kind = tuple[tuple[int, ...], np.dtype]


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


class Channel(Closing):
    """One end of a channel; each end belongs to one thread.

    The large arrays of a received parcel are lent: their slot is not written again while a view of
    them lives. A reader that keeps more than `LENT_AT_MOST` parcels gets copies of the later ones,
    so it may keep what it likes and the writer never waits for it.
    """

    def __init__(self, handles: Handles) -> None:
        """Take over `handles`."""
        self._bell = os.fdopen(handles.out_bell, "wb", 0)
        self._ear = os.fdopen(handles.in_bell, "rb", 0)
        self._outbox, self._inbox = _mapped(handles.outbox), _mapped(handles.inbox)
        self._sent: tuple[object, int, list[Kind]] | None = None
        self._out_layout = self._in_layout = Layout((), 0, [])
        self._views: dict[int, list[np.ndarray]] = {}  # of the arrays of `_out_layout`, by slot
        self._lent: dict[int, weakref.ref[np.ndarray]] = {}
        self._returns = [
            partial(_give_back, self._inbox, self._lent, slot) for slot in range(SLOTS)
        ]
        self._poll = select.poll()
        self._poll.register(self._ear, select.POLLIN)

    def send(self, parcel: Parcel) -> None:
        """Hand `parcel` over; never waits for the other end.

        Raises:
            MessageTooLargeError: it needs more than `SLOT_BYTES`.
            BrokenPipeError: the other end is gone.
        """
        form, numbers, arrays = parcel
        outbox = self._outbox
        slot = outbox.find(b"\0", 0, SLOTS)
        if slot < 0:
            raise TaktError(
                f"expected at most {SLOTS - LENT_AT_MOST} messages on their way, got one more; "
                "receive the answers first"
            )
        kind = (form, len(numbers), [(array.shape, array.dtype) for array in arrays])
        news = b"" if kind == self._sent else self._lay_out(kind)
        start = _HELD_BYTES + slot * SLOT_BYTES
        self._out_layout.numbers.pack_into(outbox, start, *numbers)
        views = self._views.get(slot)
        if views is None:
            views = self._views[slot] = self._out_layout.views(outbox, start)
        for view, array in zip(views, arrays, strict=False):  # as many, by the layout
            view[...] = array
        if news:
            end = start + SLOT_BYTES
            outbox[end - len(news) : end] = news
        outbox[slot] = 1
        self._bell.write(_TOKEN.pack(slot, len(news)))
        self._sent = kind

    def ready(self, timeout_s: Seconds = 0.0) -> bool:
        """Whether a parcel, or the news of the other end's death, comes within `timeout_s`."""
        return bool(self._poll.poll(timeout_s * 1e3))

    def receive(self) -> Parcel:
        """The next parcel; waits for it.

        Raises:
            EOFError: the other end is gone.
            WireError: it runs another version of takt.
        """
        token = self._ear.read(_TOKEN.size)
        if not token:
            raise EOFError("the other end is gone")
        slot, news = _TOKEN.unpack(token)
        inbox, start = self._inbox, _HELD_BYTES + slot * SLOT_BYTES
        if news:
            end = start + SLOT_BYTES
            self._in_layout = Layout.decode(inbox[end - news : end])
        layout = self._in_layout
        numbers = layout.numbers.unpack_from(inbox, start)
        if layout.size < _COPIED_BYTES or len(self._lent) >= LENT_AT_MOST:
            body = bytearray(inbox[start : start + layout.size])
            inbox[slot] = 0
        else:
            body = np.ndarray(layout.size, np.uint8, inbox, start)
            self._lent[slot] = weakref.ref(body, self._returns[slot])
        return layout.form, numbers, layout.views(body, 0)

    def close(self) -> None:
        """Hang up. What was lent stays readable. Idempotent."""
        self._bell.close()
        self._ear.close()

    def _lay_out(self, kind: tuple[tuple[Any, ...], int, list[Kind]]) -> bytes:
        """Prepare for parcels of this kind; the bytes from which the other end learns it."""
        layout = Layout(*kind)
        news = layout.encode()
        if (size := layout.size + len(news)) > SLOT_BYTES:
            raise MessageTooLargeError(
                f"expected a message of at most {SLOT_BYTES >> 20} MiB, got {size / 2**20:.0f} MiB;"
                " send smaller images"
            )
        self._sent, self._out_layout = None, layout  # not sent before its bytes have left
        self._views.clear()
        return news


def _give_back(inbox: mmap.mmap, lent: dict[int, Any], slot: int, _: object) -> None:
    del lent[slot]
    inbox[slot] = 0


def _mapped(memory: int) -> mmap.mmap:
    """All of `memory`, whose descriptor is closed: the mapping keeps it."""
    with os.fdopen(memory, "rb+", 0):
        return mmap.mmap(memory, 0)
