"""Ending a run by a signal so that the body is stopped on the way out."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ending:
    """Somebody's wish that the run end: SIGINT, SIGTERM or SIGHUP.

    It becomes an exception: `KeyboardInterrupt` for SIGINT, else `SystemExit` of 128 + the number.
    Outside the control loop at once; inside, where an exception out of nowhere could leave a lock
    taken, at the next `check` (a second signal, if the loop is stuck, at once, too). What comes
    later is only noted: an impatient Ctrl-C must not cut short the stop that the first one began.
    """

    def __init__(self) -> None:
        """Nobody has asked."""
        self._asked: int | None = None
        self._raised = self._deferring = False

    def check(self) -> None:
        """Raise if the end was asked for and has not been raised yet."""
        if self._asked is not None and not self._raised:
            self._raise(self._asked)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Inside, the first signal waits for `check`."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        if self._raised:
            print("the body is being stopped", file=sys.stderr)
        elif self._deferring and self._asked is None:
            self._asked = number
        else:
            self._raise(number)

    def _raise(self, number: int) -> None:
        self._raised = True
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)


@contextmanager
def ending_by_signals() -> Iterator[Ending]:
    """Inside, signals are the wish that the run end."""
    ending = Ending()
    before = {number: signal.signal(number, ending.handle) for number in SIGNALS}
    try:
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
