"""Real-time priority for the thread that runs the control loop, as far as the system permits.

Not spinning but priority keeps the beat beside other load (`bench/jitter.py`). A FIFO thread that
never sleeps starves its core: only a loop that waits for its clock on every tick belongs in here.
"""

import gc
import os
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

PRIORITY = 50  # of 1 to 99: above every normal thread, below the kernel's own watchdogs
NICENESS = -20  # the strongest

Scheduling = Literal["fifo", "nice", "none"]
"""What the system gave; "none" runs like any other thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What the system gave the thread, and where it may run."""

    scheduling: Scheduling
    cores: frozenset[int]

    def __str__(self) -> str:
        """One line for a log."""
        what = {"fifo": "SCHED_FIFO", "nice": f"nice {NICENESS}", "none": "no priority"}
        return f"{what[self.scheduling]} on cores {sorted(self.cores)}"


@contextmanager
def real_time(priority: int = PRIORITY, *, cores: Set[int] | None = None) -> Iterator[Granted]:
    """Run the calling thread at real-time priority and without the garbage collector.

    SCHED_FIFO at `priority` needs root, CAP_SYS_NICE or `ulimit -r`; without it the niceness is
    raised if that is permitted. `cores` pins the thread. Threads and processes started inside run
    at normal priority, but on the same cores: start the policy first. Everything is undone after.
    """
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    niceness, allowed = os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0)
    collected = gc.isenabled()
    try:
        if cores is not None:
            os.sched_setaffinity(0, cores)
        scheduling = _raise(priority)
        gc.collect()
        gc.freeze()  # what is alive now is never looked at again
        gc.disable()
        yield Granted(scheduling=scheduling, cores=frozenset(os.sched_getaffinity(0)))
    finally:
        gc.unfreeze()
        if collected:
            gc.enable()
        _lower(policy, parameters, niceness)
        os.sched_setaffinity(0, allowed)


def _raise(priority: int) -> Scheduling:
    # children would inherit it, and a model that computes for seconds would starve its core
    own = os.SCHED_RESET_ON_FORK
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO | own, os.sched_param(priority))
        return "fifo"
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
        os.sched_setscheduler(0, os.SCHED_OTHER | own, os.sched_param(0))
        return "nice"
    return "none"


def _lower(policy: int, parameters: os.sched_param, niceness: int) -> None:
    try:
        os.sched_setscheduler(0, policy, parameters)
    except PermissionError:  # without privileges the flag can be set, but never be cleared
        os.sched_setscheduler(0, policy | os.SCHED_RESET_ON_FORK, parameters)
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
