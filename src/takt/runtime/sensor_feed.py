"""One sensor's thread and its buffer: the only place where anybody waits for a device."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from takt.embodiments.user_code import told
from takt.runtime.ring_buffer import RingBuffer
from takt.types import Seconds, TaktError

_Sample = TypeVar("_Sample")

RETRY_S = 0.02  # without a new sample, so that neither a pulled plug nor a still one burns a core
JOIN_S = 1.0


class SensorLostError(TaktError):
    """A sensor was silent for longer than its last sample may be held; says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a feed has seen so far: samples offered, those refused by their stamps, failed reads."""

    received: int
    disordered: int
    future: int
    failures: int


class SensorFeed(Generic[_Sample]):
    """Reads a sensor over and over in a thread of its own."""

    def __init__(
        self,
        name: str,
        read: Callable[[], tuple[Seconds, _Sample]],
        *,
        patience_s: Seconds,
        capacity: int,
        clock: Callable[[], Seconds],
        period_s: Seconds = 0.0,
    ) -> None:
        """Nothing is read before `start`.

        Args:
            name: In errors and reports.
            read: Waits for a sample; returns its capture stamp and itself.
            patience_s: The last sample is held for so long.
            capacity: Samples that are kept.
            clock: What stamps are measured on.
            period_s: Least time between the begins of two reads: for sensors that answer at once.
        """
        self.name, self.buffer = name, RingBuffer[_Sample](capacity)
        self._read, self._patience_s, self._clock = read, patience_s, clock
        self._period_s = period_s
        self._closing = threading.Event()
        self._first = threading.Event()
        self._thread: threading.Thread | None = None
        self._failures = 0
        self._error: Exception | None = None

    def start(self) -> None:
        """Begin to read."""
        self._thread = threading.Thread(target=self._run, name=f"sensor {self.name}", daemon=True)
        self._thread.start()

    def wait_first(self, timeout_s: Seconds) -> None:
        """Wait for the first sample; raises a `SensorLostError` after `timeout_s`."""
        if not self._first.wait(timeout_s):
            raise self._lost(f"no first sample within {timeout_s:.1f} s")

    def require_alive(self, now: Seconds) -> None:
        """Raise a `SensorLostError` unless the newest sample may still be held at `now`."""
        newest = self.buffer.newest()
        if newest is None:
            raise self._lost("no sample yet")
        age = now - newest[0]
        if age > self._patience_s:
            raise self._lost(f"the newest sample is {1e3 * age:.0f} ms old")

    def take(self) -> bool:
        """Read once; False if there was no new sample: failures are counted, never raised."""
        try:
            stamp, sample = self._read()
        except Exception as error:
            if not self._closing.is_set():
                self._failures += 1
                self._error = error
            return False
        taken = self.buffer.append(stamp, sample, self._clock())
        if taken:
            self._first.set()
        return taken

    def close(self) -> None:
        """End the thread; one that is stuck in its device is left to the end of the process."""
        self._closing.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(JOIN_S)

    @property
    def reading(self) -> Reading:
        """Counts since the start."""
        return Reading(
            received=self.buffer.received,
            disordered=self.buffer.disordered,
            future=self.buffer.future,
            failures=self._failures,
        )

    def _run(self) -> None:
        while not self._closing.is_set():
            due = self._clock() + self._period_s
            if not self.take():
                self._closing.wait(RETRY_S)
            if self._period_s:
                self._closing.wait(max(0.0, due - self._clock()))

    def _lost(self, what: str) -> SensorLostError:
        seen = self.reading
        refused = seen.disordered + seen.future
        causes = [f"its last error: {told(self._error)}"] if self._error else []
        if refused:
            causes.append(
                f"{refused} samples were refused: {seen.disordered} stamped before their "
                f"predecessor, {seen.future} in the future (do they carry another clock's time?)"
            )
        return SensorLostError(
            f"sensor {self.name!r}: expected a sample at least every "
            f"{1e3 * self._patience_s:.0f} ms, but {what}; the body was stopped. "
            f"{'; '.join(causes) or 'It raised no error: is it stuck, or this machine overloaded?'}"
        )
