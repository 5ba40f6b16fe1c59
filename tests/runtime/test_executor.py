"""The control loop never stalls, counts its delays and enters chunks where they belong."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import SPEC, FakePolicy, FakeStation
from hypothesis import assume, given
from hypothesis import strategies as st

from takt.runtime.chunking import Chunking, LambdaPrefix, Synchronous, validate
from takt.runtime.clock import VirtualClock
from takt.runtime.executor import Executor
from takt.runtime.inference import InlinePolicy, PolicyError
from takt.runtime.latency import Injected, Latency, Measured
from takt.runtime.safety import Governor, UnsafeActionError, step_limits
from takt.runtime.trace import Trace
from takt.types import ActionChunk, Observation, TaktError

HORIZON, EXECUTE = 16, 8


def run_executor(
    policy: FakePolicy,
    chunking: Chunking,
    latency: Latency,
    ticks: int = 88,
    worker: InlinePolicy | None = None,
) -> Trace:
    station = FakeStation()
    executor = Executor(
        station,
        worker or InlinePolicy(policy),
        chunking,
        clock=VirtualClock(SPEC.dt),
        latency=latency,
        governor=Governor(SPEC.action_space, step_limits(SPEC)),
    )
    trace = executor.run(lambda: station.ticks >= ticks)
    assert station.stops == 1
    return trace


class SlowWorker(InlinePolicy):
    """Ready only after so many polls: a wall clock's late answer without a wall clock."""

    def __init__(self, policy: FakePolicy, polls: list[int]) -> None:
        super().__init__(policy)
        self._polls = polls
        self._left = 0

    def submit(self, observation: Observation, committed: ActionChunk | None) -> None:
        super().submit(observation, committed)
        self._left = self._polls.pop(0) if self._polls else 3

    def ready(self) -> bool:
        self._left -= 1
        return super().ready() and self._left < 0


@pytest.mark.parametrize("delay", range(7))
def test_asynchronous_never_stalls_after_the_cold_start(delay: int) -> None:
    trace = run_executor(FakePolicy(), LambdaPrefix(EXECUTE, delay), Injected(delay))
    assert trace.held[:delay].all()
    assert not trace.held[delay:].any()
    assert (trace.delay_ticks == delay).all()
    entries = np.flatnonzero(np.diff(trace.chunk)[delay:] > 0) + delay + 1
    assert len(entries) >= 8
    assert (trace.index[entries] == delay).all(), "a chunk enters at its true index"


@pytest.mark.parametrize("delay", range(7))
def test_synchronous_idles_d_of_every_d_plus_execute_ticks(delay: int) -> None:
    ticks = 4 * (EXECUTE + delay)
    trace = run_executor(FakePolicy(), Synchronous(EXECUTE), Injected(delay), ticks)
    assert trace.waiting.mean() == pytest.approx(delay / (delay + EXECUTE))
    acting = trace.index[~trace.held].reshape(4, EXECUTE)
    assert (acting == np.arange(EXECUTE)).all(), "a chunk begins when it arrives"


@given(
    horizon=st.integers(2, 40), execute=st.integers(1, 40), delay=st.integers(0, 12), data=st.data()
)
def test_whatever_the_planner_accepts_runs_without_a_stall(
    horizon: int, execute: int, delay: int, data: st.DataObject
) -> None:
    assume(max(delay, 1) <= execute <= horizon - delay)
    chunking = LambdaPrefix(execute, data.draw(st.integers(delay, horizon - execute)))
    validate(chunking, horizon, delay)
    trace = run_executor(FakePolicy(horizon), chunking, Injected(delay), 4 * horizon)
    assert not trace.held[delay:].any()
    assert trace.dropped == 0
    assert trace.index.max() < horizon


@given(polls=st.lists(st.integers(0, HORIZON - EXECUTE), min_size=12, max_size=12))
def test_jitter_within_the_plan_never_stalls(polls: list[int]) -> None:
    policy = FakePolicy()
    worker = SlowWorker(policy, [0, *polls])
    trace = run_executor(policy, LambdaPrefix(EXECUTE, 3), Measured(), 90, worker)
    assert not trace.held.any()
    assert trace.delay_ticks[1:].tolist() == polls[: len(trace.delay_ticks) - 1]


def test_the_prefix_is_what_gets_executed() -> None:
    policy = FakePolicy()
    trace = run_executor(policy, LambdaPrefix(EXECUTE, 3), Injected(3))
    assert policy.committed[0] is None
    for observation, committed in zip(
        policy.observations[1:-1], policy.committed[1:-1], strict=True
    ):
        assert committed is not None
        tick = round(observation.stamp / SPEC.dt)
        np.testing.assert_array_equal(committed.actions, trace.actions[tick : tick + 3])
        assert committed.stamp == observation.stamp


class LeapingPolicy(FakePolicy):
    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        chunk = super().infer(observation, committed)
        chunk.actions[:, 0] += np.linspace(0, 2.5, len(chunk.actions), dtype=np.float32)
        return chunk


@pytest.mark.parametrize("execute", [EXECUTE, HORIZON - 1])  # then two ticks are held
def test_the_prefix_is_what_gets_executed_also_where_the_governor_clamps(execute: int) -> None:
    policy = LeapingPolicy()
    trace = run_executor(policy, LambdaPrefix(execute, 3), Injected(3))
    assert trace.interventions["step"] > 10
    for observation, committed in zip(
        policy.observations[1:-1], policy.committed[1:-1], strict=True
    ):
        assert committed is not None
        tick = round(observation.stamp / SPEC.dt)
        np.testing.assert_array_equal(committed.actions, trace.actions[tick : tick + 3])


def test_a_policy_slower_than_its_plans_still_moves_the_body() -> None:
    policy = FakePolicy()
    worker = SlowWorker(policy, [HORIZON + 2] * 20)
    trace = run_executor(policy, LambdaPrefix(EXECUTE, 3), Measured(), 200, worker)
    assert trace.dropped <= len(trace.delay_ticks) / 2, "what a held body saw is still true"
    assert (~trace.held[100:]).mean() > 0.3
    for observation, committed in zip(policy.observations, policy.committed, strict=True):
        held = trace.held[round(observation.stamp / SPEC.dt)]
        assert (committed is None) == held, "a plan that begins when it arrives repeats no hold"


def test_a_chunk_shorter_than_what_is_to_be_executed_is_followed_at_once() -> None:
    trace = run_executor(FakePolicy(horizon=5), LambdaPrefix(EXECUTE, 0), Injected(0))
    assert not trace.held.any()


def test_a_late_chunk_enters_at_its_true_index_and_nothing_is_zero_padded() -> None:
    policy = FakePolicy()
    worker = SlowWorker(policy, [0, 11])  # the second answer comes 3 ticks after the plan ran out
    trace = run_executor(policy, LambdaPrefix(EXECUTE, 3), Measured(), 60, worker)
    stalled = np.flatnonzero(trace.held[1:]) + 1
    assert len(stalled) == 3
    np.testing.assert_array_equal(
        trace.actions[stalled], np.repeat(trace.actions[stalled[0] - 1][None], 3, axis=0)
    )
    assert trace.waiting[stalled].all()
    assert trace.delay_ticks[1] == 11
    assert trace.index[stalled[-1] + 1] == 11


def test_a_chunk_whose_actions_are_all_past_is_dropped() -> None:
    policy = FakePolicy()
    trace = run_executor(
        policy, LambdaPrefix(EXECUTE, 3), Measured(), 80, SlowWorker(policy, [0, HORIZON + 2])
    )
    assert trace.dropped == 1
    assert 1 not in trace.chunk
    assert trace.chunk[-1] > 2, "the loop recovers"


def test_same_seed_same_trajectory() -> None:
    first, second = (run_executor(FakePolicy(), LambdaPrefix(8, 3), Injected(3)) for _ in range(2))
    np.testing.assert_array_equal(first.actions, second.actions)


def test_observation_age_is_measured_from_capture() -> None:
    trace = run_executor(FakePolicy(), LambdaPrefix(EXECUTE, 3), Injected(3))
    assert np.isnan(trace.age_s[0])
    np.testing.assert_allclose(trace.age_s[20:].min(), 3 * SPEC.dt, atol=1e-6)


class NanPolicy(FakePolicy):
    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        chunk = super().infer(observation, committed)
        chunk.actions[5, 2] = np.nan
        return chunk


class StalePolicy(FakePolicy):
    """Its chunks have other times than they should."""

    def __init__(self, **changes: float) -> None:
        super().__init__()
        self._changes = changes

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        return replace(super().infer(observation, committed), **self._changes)


@pytest.mark.parametrize(
    ("policy", "error", "says"),
    [
        (NanPolicy(), UnsafeActionError, "left_elbow"),
        (StalePolicy(stamp=1.0), PolicyError, "stamped"),
        (StalePolicy(stamp=float("nan")), PolicyError, "stamped"),
        (StalePolicy(dt=float("nan")), PolicyError, "tick of nan s"),
        (StalePolicy(dt=0.0), PolicyError, "tick of 0 s"),
        (StalePolicy(dt=-1.0), PolicyError, "tick of -1 s"),
    ],
)
def test_every_failure_stops_the_body(
    policy: FakePolicy, error: type[Exception], says: str
) -> None:
    station = FakeStation()
    executor = Executor(
        station,
        InlinePolicy(policy),
        Synchronous(EXECUTE),
        clock=VirtualClock(SPEC.dt),
        latency=Injected(0),
        governor=Governor(SPEC.action_space, step_limits(SPEC)),
    )
    with pytest.raises(error, match=says):
        executor.run(lambda: False)
    assert station.stops == 1


@pytest.mark.parametrize("value", [3.0, -3.0, np.nan])
def test_a_body_that_stands_outside_its_bounds_does_not_leap_on_its_first_tick(
    value: float,
) -> None:
    station = FakeStation()
    station.state[0] = value
    executor = Executor(
        station,
        InlinePolicy(FakePolicy()),
        LambdaPrefix(EXECUTE, 0),
        clock=VirtualClock(SPEC.dt),
        latency=Injected(0),
        governor=Governor(SPEC.action_space, step_limits(SPEC)),
    )
    if np.isnan(value):
        with pytest.raises(TaktError, match="finite measured"):
            executor.run(lambda: station.ticks >= 3)
        assert station.ticks == 0
    else:
        trace = executor.run(lambda: station.ticks >= 3)
        path = np.concatenate([[value], trace.actions[:, 0]])
        assert np.abs(np.diff(path)).max() <= step_limits(SPEC)[0] * 1.001
