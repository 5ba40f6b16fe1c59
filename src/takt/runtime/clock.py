"""Two clocks, one code path: control time advances by exactly one tick per executed action."""

import time
from typing import Protocol

from takt.types import Seconds

WAKE_UP_S = 150e-6
"""A sleep ends this much before its deadline, and the rest is spun: longer than a wake-up takes at
real-time priority, and .5 % of a core at 30 Hz (`bench/jitter.py`)."""


class Clock(Protocol):
    """Control time in seconds: the start plus the executed ticks, so that nothing drifts."""

    def now(self) -> Seconds:
        """Control time of the tick that is being executed."""
        ...

    def tick(self) -> None:
        """End this tick; returns when the next one begins."""

    @property
    def missed(self) -> int:
        """Periods of real time that passed without a tick."""
        ...


class VirtualClock:
    """Steps a simulation as fast as it goes; `now` is `n * dt`."""

    missed = 0

    def __init__(self, dt: Seconds) -> None:
        """Begin at tick zero."""
        self._dt, self._ticks = dt, 0

    def now(self) -> Seconds:
        """Control time; a multiple of dt, never a running sum."""
        return self._ticks * self._dt

    def tick(self) -> None:
        """Advance one tick at once."""
        self._ticks += 1


class WallClock:
    """Paces a body on absolute monotonic deadlines.

    An overrun never causes a burst: whole missed periods are skipped (and counted in `missed`) so
    that the phase stays, and control time still counts executed ticks only.
    """

    def __init__(self, dt: Seconds) -> None:
        """The first tick begins when it is asked for, whatever comes before it."""
        self._dt, self._ticks = dt, 0
        self._deadline_index = 0
        self._origin: Seconds | None = None
        self.missed = 0
        self.lateness: Seconds = 0.0
        """How long after its deadline this tick began."""

    def now(self) -> Seconds:
        """Control time of this tick."""
        if self._origin is None:
            self._origin = time.monotonic()
        return self._ticks * self._dt

    def tick(self) -> None:
        """Wait for the next absolute deadline: asleep, but for the last moment."""
        self._ticks += 1
        self._deadline_index += 1
        now = time.monotonic()
        if self._origin is None:
            self._origin = now
        late = now - self._deadline(self._origin)
        if late >= 0:
            skipped = int(late / self._dt) + 1
            self._deadline_index += skipped
            self.missed += skipped
        deadline = self._deadline(self._origin)
        # Python turns the rest into an absolute deadline at once: no error adds up, and under load
        # sleeping on our own absolute deadline woke no earlier
        time.sleep(max(0.0, deadline - now - WAKE_UP_S))
        while (now := time.monotonic()) < deadline:
            pass
        self.lateness = now - deadline

    def _deadline(self, origin: Seconds) -> Seconds:
        return origin + self._deadline_index * self._dt
