"""What it takes to wake another process and be woken: pipe, eventfd and POSIX semaphore.

No claim of takt's depends on it: it is why the shared memory's messages are counted by pipes. Both
processes run at real-time priority on one core; the one that measures waits with a deadline.
"""

import json
import multiprocessing
import os
import select
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import command
import numpy as np

from takt.runtime.real_time import real_time

Wait = Callable[[], object]
Post = Callable[[], object]
DEADLINE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Measure all of them in one run."""

    calls: int = 3000
    """Round trips per round."""
    rounds: int = 5
    """Rounds; they take turns."""
    json: bool = False
    """Print one JSON object as the last line."""


@dataclass(frozen=True, slots=True)
class Bells:
    """Both ends of a way there and a way back."""

    post: Post
    wait_back: Wait
    wait: Wait
    post_back: Post


def pipe() -> Bells:
    """A byte in a pipe, as `takt.runtime.shared_memory` does it."""
    (ear, bell), (back_ear, back_bell) = os.pipe(), os.pipe()
    poll = select.poll()
    poll.register(back_ear, select.POLLIN)
    return Bells(
        post=lambda: os.write(bell, b"x"),
        wait_back=lambda: (poll.poll(DEADLINE_S * 1e3), os.read(back_ear, 1)),
        wait=lambda: os.read(ear, 1),
        post_back=lambda: os.write(back_bell, b"x"),
    )


def eventfd() -> Bells:
    """Linux's counter; a third descriptor would have to tell of the other end's death."""
    there, back = (os.eventfd(0, os.EFD_SEMAPHORE) for _ in range(2))
    poll = select.poll()
    poll.register(back, select.POLLIN)
    return Bells(
        post=lambda: os.eventfd_write(there, 1),
        wait_back=lambda: (poll.poll(DEADLINE_S * 1e3), os.eventfd_read(back)),
        wait=lambda: os.eventfd_read(there),
        post_back=lambda: os.eventfd_write(back, 1),
    )


def semaphore() -> Bells:
    """`multiprocessing.Semaphore`; it cannot tell of the other end's death."""
    there, back = multiprocessing.Semaphore(0), multiprocessing.Semaphore(0)
    return Bells(
        post=there.release,
        wait_back=lambda: back.acquire(timeout=DEADLINE_S),
        wait=there.acquire,
        post_back=back.release,
    )


KINDS = {"pipe": pipe, "eventfd": eventfd, "semaphore": semaphore}


def timed(bells: Bells, calls: int) -> np.ndarray:
    """Round trips in microseconds."""
    took = np.zeros(calls)
    child = os.fork()
    if child == 0:
        with real_time():
            for _ in range(calls):
                bells.wait()
                bells.post_back()
        os._exit(0)
    with real_time():
        for call in range(calls):
            began = time.perf_counter()
            bells.post()
            bells.wait_back()
            took[call] = time.perf_counter() - began
    os.waitpid(child, 0)
    return 1e6 * took


def main(config: Config) -> int:
    """Print the medians over the rounds."""
    command.require_at_least(1, calls=config.calls, rounds=config.rounds)
    took: dict[str, list[np.ndarray]] = {name: [] for name in KINDS}
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        for _ in range(config.rounds):
            for name, make in KINDS.items():
                took[name].append(timed(make(), config.calls))
    finally:
        os.sched_setaffinity(0, allowed)
    found = {
        name: {
            f"p{rank}": statistics.median(float(np.percentile(each, rank)) for each in rounds)
            for rank in (50, 99)
        }
        for name, rounds in took.items()
    }
    for name, times in found.items():
        print(f"  {name:<10} p50 {times['p50']:6.1f}   p99 {times['p99']:6.1f} us")
    if config.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(command.run(main, Config))
