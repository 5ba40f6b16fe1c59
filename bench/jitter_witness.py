"""Tells whether the whole machine stood still: real-time processes on its first and last core.

A virtual machine is stopped now and then for milliseconds, which no program in it can prevent. A
tick that is late while both witnesses are late at the same moment was held up by that.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from takt.runtime.clock import WallClock
from takt.runtime.real_time import PRIORITY, real_time

PERIOD_S = 1e-3
Interval = tuple[float, float]  # monotonic seconds


class Pauses:
    """Intervals during which both witnesses were late; known after the block of `watched`."""

    def __init__(self) -> None:
        """None yet."""
        self.intervals: list[Interval] = []

    def hit(self, interval: Interval) -> bool:
        """Whether one of them overlaps `interval`."""
        return any(_overlap(each, interval) for each in self.intervals)


@contextmanager
def watched() -> Iterator[Pauses]:
    """Witnesses on the first and the last core for the length of the block."""
    cores = os.sched_getaffinity(0)
    command = [sys.executable, __file__]
    children = [
        subprocess.Popen([*command, str(core)], stdout=subprocess.PIPE)
        for core in (min(cores), max(cores))
    ]
    pauses = Pauses()
    try:
        for child in children:
            assert child.stdout is not None
            child.stdout.readline()
        yield pauses
    finally:
        for child in children:
            child.terminate()
        one, other = (json.loads(child.communicate()[0] or "[]") for child in children)
        pauses.intervals = [each for each in one if any(_overlap(each, late) for late in other)]


def _overlap(one: Interval, other: Interval) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def witness(core: int, parent: int) -> list[Interval]:
    """When it was late on `core` by more than a period, until it is terminated."""
    late: list[Interval] = []
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    with real_time(PRIORITY - 1, cores={core}):  # the loop that is measured comes first
        print("watching", flush=True)
        clock = WallClock(PERIOD_S)
        while not asked and os.getppid() == parent:
            clock.tick()
            if clock.lateness > PERIOD_S:
                now = time.monotonic()
                late.append((now - clock.lateness, now))
    return late


if __name__ == "__main__" and len(sys.argv) > 1:  # `make bench` calls every file without
    print(json.dumps(witness(int(sys.argv[1]), os.getppid())))
