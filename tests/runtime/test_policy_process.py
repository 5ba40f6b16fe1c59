"""A policy in another process: same answers, named failures, no hanging."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fakes import SPEC, FakePolicy, FakeStation

from takt.runtime.chunking import LambdaPrefix
from takt.runtime.clock import VirtualClock
from takt.runtime.executor import Executor
from takt.runtime.inference import InlinePolicy, PolicyError, PolicyWorker
from takt.runtime.latency import Injected, Measured
from takt.runtime.policy_process import PolicyDiedError, PolicyProcess
from takt.runtime.safety import Governor, UnsafeActionError, step_limits
from takt.runtime.trace import Trace


@pytest.fixture(autouse=True)
def _child_finds_fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))


def cycle(station: FakeStation, worker: PolicyWorker, seed: int) -> Trace:
    station.reset(seed)
    worker.reset(seed)
    executor = Executor(
        station,
        worker,
        LambdaPrefix(8, 3),
        clock=VirtualClock(SPEC.dt),
        latency=Injected(3),
        governor=Governor(SPEC.action_space, step_limits(SPEC)),
    )
    return executor.run(lambda: station.finished)


def test_same_seed_same_trajectory_bit_for_bit_and_as_inline() -> None:
    station = FakeStation()
    with PolicyProcess("fakes:make_policy", {"horizon": 16}) as worker:
        first, other, second = (cycle(station, worker, seed) for seed in (5, 6, 5))
    inline = cycle(station, InlinePolicy(FakePolicy()), 5)
    np.testing.assert_array_equal(first.actions, second.actions)
    np.testing.assert_array_equal(first.actions, inline.actions)
    assert not np.array_equal(first.actions[:40], other.actions[:40])
    assert (first.compute_s > 0).all()


@pytest.mark.parametrize(
    ("how", "error", "says"),
    [
        ("exit", PolicyDiedError, "exit status 7.*out of nuts"),
        ("raise", PolicyError, "ZeroDivisionError.*(?s:.)*no torque"),
        ("refuse", PolicyError, "TaktError: not my body"),
        ("nan", UnsafeActionError, "NaN"),
    ],
)
def test_a_failing_child_is_named_and_the_body_stops(
    how: str, error: type[Exception], says: str
) -> None:
    station = FakeStation()
    with (
        PolicyProcess("fakes:make_broken", {"how": how}) as worker,
        pytest.raises(error, match=says),
    ):
        cycle(station, worker, 1)
    assert station.stops == 1


def test_a_child_that_cannot_start_says_why() -> None:
    with (
        PolicyProcess("fakes:no_such_factory", {}) as worker,
        pytest.raises(PolicyError, match="no_such_factory"),
    ):
        worker.reset(0)


def test_a_killed_child_is_news_at_once() -> None:
    with PolicyProcess("fakes:make_policy", {}) as worker:
        worker.reset(0)
        assert not worker.ready()
        os.kill(worker.pid, signal.SIGKILL)
        deadline = time.monotonic() + 2
        while not worker.ready():
            assert time.monotonic() < deadline, "a dead policy looked busy"
        with pytest.raises(PolicyDiedError, match="exit status -9"):
            worker.result()


def test_a_silent_child_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("takt.runtime.policy_process.ANSWER_TIMEOUT_S", 0.05)
    with PolicyProcess("fakes:make_policy", {}) as worker:
        os.kill(worker.pid, signal.SIGSTOP)
        worker.submit(FakeStation().observe(), None)
        with pytest.raises(PolicyDiedError, match="got none; is the machine"):
            worker.result()
        os.kill(worker.pid, signal.SIGCONT)


def test_a_silent_child_does_not_hold_a_polling_loop_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with PolicyProcess("fakes:make_policy", {}) as worker:
        station = FakeStation(tick_s=0.005)
        station.reset(0)
        worker.reset(0)
        monkeypatch.setattr("takt.runtime.policy_process.ANSWER_TIMEOUT_S", 0.1)
        os.kill(worker.pid, signal.SIGSTOP)
        executor = Executor(
            station,
            worker,
            LambdaPrefix(8, 3),
            clock=VirtualClock(SPEC.dt),
            latency=Measured(),
            governor=Governor(SPEC.action_space, step_limits(SPEC)),
        )
        with pytest.raises(PolicyDiedError, match="got none; is the machine"):
            executor.run(lambda: station.ticks > 400)
        assert station.stops == 1
        os.kill(worker.pid, signal.SIGCONT)


def make_parent() -> FakePolicy:
    """Factory of a policy that has a child of its own, which outlives it."""
    if os.fork() == 0:
        time.sleep(4)
        os._exit(0)
    return FakePolicy()


def test_a_killed_child_is_news_although_its_own_children_live(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    with PolicyProcess("test_policy_process:make_parent", {}) as worker:
        worker.reset(0)
        os.kill(worker.pid, signal.SIGKILL)
        deadline = time.monotonic() + 2
        while not worker.ready():
            assert time.monotonic() < deadline, "a dead policy looked busy"
        with pytest.raises(PolicyDiedError, match="exit status -9"):
            worker.result()


def test_a_system_that_starts_no_process_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(PolicyError, match="temporarily unavailable.*ulimit"):
        PolicyProcess("fakes:make_policy", {})
    assert len(os.listdir("/proc/self/fd")) == before


PARENT = """
import sys, time
sys.path[:0] = {path!r}
from takt.runtime.policy_process import PolicyProcess
worker = PolicyProcess("fakes:make_policy", {{}})
worker.reset(0)
print(worker.pid, flush=True)
time.sleep(60)
"""


def test_a_killed_parent_leaves_no_policy_behind() -> None:
    code = PARENT.format(path=sys.path)
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    os.kill(child, 0)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while _runs(child):
        assert time.monotonic() < deadline, "the policy process outlived its parent"
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    """Whether the process exists and is not a zombie that only waits for its reaper."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
