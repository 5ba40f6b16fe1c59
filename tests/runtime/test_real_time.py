"""Real-time priority is taken where it is granted, and always given back."""

import gc
import os
import subprocess
import sys
import threading

import pytest

from takt.runtime.real_time import real_time


def state() -> tuple[int, int, int, frozenset[int], bool, int]:
    return (
        os.sched_getscheduler(0),
        os.sched_getparam(0).sched_priority,
        os.getpriority(os.PRIO_PROCESS, 0),
        frozenset(os.sched_getaffinity(0)),
        gc.isenabled(),
        gc.get_freeze_count(),
    )


def test_everything_is_given_back_even_after_an_error() -> None:
    before = state()
    core = {min(os.sched_getaffinity(0))}

    def fail() -> None:
        with real_time(10, cores=core) as granted:
            assert granted.cores == core == os.sched_getaffinity(0)
            assert not gc.isenabled()
            if granted.scheduling == "fifo":
                assert os.sched_getparam(0).sched_priority == 10
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert state() == before


def test_threads_and_processes_started_inside_are_normal() -> None:
    seen = []
    with real_time():
        thread = threading.Thread(target=lambda: seen.append(os.sched_getscheduler(0)))
        thread.start()
        thread.join()
        code = "import os; print(os.sched_getscheduler(0))"
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert [*seen, int(child.stdout)] == [os.SCHED_OTHER, os.SCHED_OTHER]


def test_what_is_refused_is_named_and_nothing_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    before = state()
    monkeypatch.setattr(os, "setpriority", refuse)
    with monkeypatch.context() as inside:
        inside.setattr(os, "sched_setscheduler", refuse)
        context = real_time()
        granted = context.__enter__()
    assert granted.scheduling == "none"
    assert str(granted).startswith("no priority on cores [")
    context.__exit__(None, None, None)
    assert state() == before
