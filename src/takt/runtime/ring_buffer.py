"""The newest samples of one sensor, in the order of their capture."""

import threading
from collections import deque
from typing import Generic, TypeVar

import numpy as np

from takt.types import Seconds

_Sample = TypeVar("_Sample")

FUTURE_S = 1e-3  # rounding of a device's own stamps; more is another clock


class RingBuffer(Generic[_Sample]):
    """Holds the last `capacity` samples; one thread fills it, another one reads it.

    Stamps in it only rise: a sample captured before its predecessor, or after it was received, is
    refused and counted, so a device whose clock jumps goes stale instead of lying about the time.
    """

    def __init__(self, capacity: int) -> None:
        """Empty."""
        self._lock = threading.Lock()
        self._samples: deque[tuple[Seconds, _Sample]] = deque(maxlen=capacity)
        self.received = 0
        self.disordered = 0
        self.future = 0

    def append(self, stamp: Seconds, sample: _Sample, now: Seconds) -> bool:
        """Take a sample captured at `stamp` and received at `now`; says whether it was taken."""
        with self._lock:
            self.received += 1
            if not stamp <= now + FUTURE_S:  # NaN counts as the future, too
                self.future += 1
                return False
            if self._samples and stamp <= self._samples[-1][0]:
                self.disordered += 1
                return False
            self._samples.append((stamp, sample))
            return True

    def newest(self) -> tuple[Seconds, _Sample] | None:
        """Stamp and sample captured last."""
        with self._lock:
            return self._samples[-1] if self._samples else None

    def snapshot(self) -> tuple[np.ndarray, list[_Sample]]:
        """Stamps (sample,) float64, rising, and the samples themselves; nothing is copied."""
        with self._lock:
            held = list(self._samples)
        return np.array([stamp for stamp, _ in held], np.float64), [each for _, each in held]
