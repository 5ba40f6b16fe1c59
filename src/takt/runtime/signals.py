"""Ending a run by a signal so that the body is stopped on the way out."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Inside, the first SIGINT, SIGTERM or SIGHUP ends the block by an exception.

    SIGINT is a `KeyboardInterrupt` as ever, the others a `SystemExit` of 128 + their number. Later
    ones are only noted: a second Ctrl-C must not cut short the stop that the first one began.
    """
    ending = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal ending
        if ending:
            print("the body is being stopped", file=sys.stderr)
            return
        ending = True
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, *ENDING)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
