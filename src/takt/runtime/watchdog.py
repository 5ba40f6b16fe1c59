"""A body that is stopped from another thread when the control loop misses its beat."""

import sys
import threading
import time
from typing import Self

import numpy as np

from takt.runtime.closing import Closing
from takt.types import Embodiment, EmbodimentSpec, Observation, Seconds, TaktError

DEFAULT_S = 0.5
LONGEST_S = 3600.0  # a lock cannot wait for ever, and more would guard nobody
JOIN_S = 5.0  # longer than a body that is told to stop again and again


class WatchdogError(TaktError):
    """The loop was silent for too long, and the body was stopped meanwhile."""


class Watchdog(Closing):
    """Wraps a body; every `act` is a beat. Use it in a `with` block, on the wall clock only.

    It watches from the first `act` to `stop`. Once it has bitten, `act` refuses. It is a thread: it
    sees a loop that is stuck in a device, a lock or a slow listener, not one that holds the
    interpreter (or a stopped process); for those the drives need a timeout of their own.
    """

    def __init__(self, body: Embodiment, timeout_s: Seconds = DEFAULT_S) -> None:
        """Bites `timeout_s` after the last beat; at least two ticks, so that one may be late."""
        if not 2 * body.spec.dt <= timeout_s <= LONGEST_S:
            raise TaktError(
                f"watchdog: expected at least two ticks, {2e3 * body.spec.dt:.0f} ms, and at most "
                f"{1e3 * LONGEST_S:.0f} ms, got {1e3 * timeout_s:.0f} ms; give it a time between"
            )
        self._body, self._timeout_s = body, timeout_s
        self._changed = threading.Condition()
        self._beat: Seconds | None = None
        self._closed = False
        self._bitten: str | None = None
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Self:
        """Begin to watch."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop the body; no more watching."""
        try:
            self.stop()
        finally:
            with self._changed:
                self._closed = True
                self._changed.notify()
            if self._thread.is_alive():
                self._thread.join(JOIN_S)

    @property
    def spec(self) -> EmbodimentSpec:
        """Of the body."""
        return self._body.spec

    def observe(self) -> Observation:
        """Sense."""
        return self._body.observe()

    def act(self, action: np.ndarray) -> None:
        """Act, and begin the next beat.

        Raises:
            WatchdogError: the beat was missed; the body is stopped and stays so.
        """
        self._note_beat()
        self._body.act(action)
        if self._bitten is not None:  # it may have moved after it was stopped
            self._body.stop()
        self._note_beat()

    def stop(self) -> None:
        """Stop the body and rest until the next `act`."""
        with self._changed:
            self._beat = None
        self._body.stop()

    def _note_beat(self) -> None:
        with self._changed:
            if self._bitten is not None:
                raise WatchdogError(self._bitten)
            waiting = self._beat is None
            self._beat = time.monotonic()
            if waiting:
                self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while not self._closed and self._bitten is None:
                beat = self._beat
                if beat is None:
                    self._changed.wait()
                    continue
                left = beat + self._timeout_s - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                else:
                    self._bitten = (
                        f"expected a tick at least every {1e3 * self._timeout_s:.0f} ms, got none; "
                        "the body was stopped by the watchdog: something blocks the control loop"
                    )
        if self._bitten is not None:
            self._bite(self._bitten)

    def _bite(self, why: str) -> None:
        """Stop the body without the lock: the loop may be stuck inside it, and may say nothing."""
        try:
            self._body.stop()
        except Exception as error:
            why = f"{why}; {error}"
        print(f"watchdog: {why}", file=sys.stderr, flush=True)
