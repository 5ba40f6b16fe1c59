"""Every strategy on the same control loop: no stall, and its own way to join chunks."""

import numpy as np
import pytest
from fakes import SPEC, WIDTH, FakePolicy, FakeStation

from takt.runtime.chunking import (
    Chunking,
    ChunkingError,
    Corrected,
    LambdaPrefix,
    NaiveAsynchronous,
    RealTimeChunking,
    StreamingReplan,
    TemporalEnsembling,
    TrainingTimeRTC,
    validate,
)
from takt.runtime.clock import VirtualClock
from takt.runtime.executor import BLEND_SHARE, Executor
from takt.runtime.inference import InlinePolicy
from takt.runtime.latency import Injected, Jittered, Latency
from takt.runtime.operator import Command
from takt.runtime.safety import Governor, step_limits
from takt.runtime.tick import Tick
from takt.runtime.trace import Trace
from takt.types import ActionChunk, Observation, Seconds

HORIZON, EXECUTE = 16, 6
STRATEGIES = [
    NaiveAsynchronous(EXECUTE),
    TemporalEnsembling(EXECUTE),
    RealTimeChunking(EXECUTE, 6),
    TrainingTimeRTC(EXECUTE, 6),
    LambdaPrefix(EXECUTE, 6),
    StreamingReplan(EXECUTE, 8),
    Corrected(EXECUTE),
]


class StreamingPolicy(InlinePolicy):
    """Its leading actions are finished at once."""

    def first_ready(self) -> bool:
        return self.ready()

    def first(self) -> ActionChunk:
        assert self._inference is not None
        return self._inference.chunk


class Nudge:
    """Adds the measured state's first axis to what was planned; remembers its stamps."""

    def __init__(self) -> None:
        self.stamps: list[Seconds] = []

    def correct(self, observation: Observation, chunk: ActionChunk, index: int) -> np.ndarray:
        self.stamps.append(observation.stamp)
        return chunk.actions[index] + np.float32(1e-3)


class Diary:
    """A listener that keeps every tick."""

    def __init__(self, wants_observations: bool = False) -> None:
        self.wants_observations = wants_observations
        self.ticks: list[Tick] = []

    def on_tick(self, tick: Tick) -> None:
        self.ticks.append(tick)


def executor(
    chunking: Chunking,
    latency: Latency,
    policy: FakePolicy | None = None,
    **parts: object,
) -> tuple[Executor, FakeStation]:
    station = FakeStation()
    built = Executor(
        station,
        StreamingPolicy(policy or FakePolicy()),
        chunking,
        clock=VirtualClock(SPEC.dt),
        latency=latency,
        governor=Governor(SPEC.action_space, step_limits(SPEC)),
        corrector=Nudge() if isinstance(chunking, Corrected) else None,
        **parts,  # pyright: ignore[reportArgumentType]
    )
    return built, station


def run(chunking: Chunking, latency: Latency, ticks: int = 90, **parts: object) -> Trace:
    built, station = executor(chunking, latency, **parts)  # pyright: ignore[reportArgumentType]
    return built.run(lambda: station.ticks >= ticks)


@pytest.mark.parametrize("delay", range(7))
@pytest.mark.parametrize("chunking", STRATEGIES, ids=lambda c: type(c).__name__)
def test_no_strategy_stalls(chunking: Chunking, delay: int) -> None:
    validate(chunking, HORIZON, delay)
    trace = run(chunking, Injected(delay))
    assert not trace.held[delay:].any()
    assert trace.dropped == 0


@pytest.mark.parametrize("chunking", STRATEGIES, ids=lambda c: type(c).__name__)
def test_no_strategy_stalls_under_jitter_and_spikes(chunking: Chunking) -> None:
    latency = Jittered(ticks=4, seed=3, spikes=0.1)
    delays = [latency.delay(number) for number in range(200)]
    assert min(delays) == 2
    assert sorted(set(delays) - {20})[-1] == 6
    assert 8 <= delays.count(20) <= 35
    trace = run(chunking, latency, 400, policy=FakePolicy(30))
    assert not trace.held[20:].any()
    assert (trace.delay_ticks == delays[: len(trace.delay_ticks)]).all()
    assert trace.delay_ticks.max() == 20, "a spike was met"


class Ramp(FakePolicy):
    """Chunk n plans the constant n / 100; keeps what it was told."""

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        chunk = super().infer(observation, committed)
        chunk.actions[:] = np.float32(len(self.observations) / 100)
        return chunk


def test_an_ensemble_is_the_weighted_mean_of_all_that_was_said_of_a_tick() -> None:
    decay, delay = 0.5, 2
    trace = run(TemporalEnsembling(EXECUTE, decay), Injected(delay), 40, policy=Ramp())
    begins = [2, *range(8, 40, EXECUTE)]  # the first chunk begins when it arrives
    for tick in range(20, 40):
        # chunk n (from 0) was observed at begins[n] and arrived `delay` later, but for the first
        known = [
            n for n, at in enumerate(begins)
            if at <= tick < at + HORIZON and (n == 0 or at + delay <= tick)
        ]  # fmt: skip
        weights = np.exp(-decay * np.arange(len(known)))
        expected = np.average([(n + 1) / 100 for n in known], weights=weights)
        np.testing.assert_allclose(trace.actions[tick, 0], expected, atol=1e-6)


def test_the_first_actions_of_a_streamed_chunk_act_before_the_rest() -> None:
    latency = Injected(4, first=1)
    trace = run(StreamingReplan(EXECUTE, 5), latency, 60)
    entries = np.flatnonzero(np.diff(trace.chunk) > 0) + 1
    assert (trace.index[entries][1:] == 1).all()
    assert (trace.delay_ticks == 4).all()
    naive = run(NaiveAsynchronous(EXECUTE), Injected(4), 60)
    assert (naive.index[np.flatnonzero(np.diff(naive.chunk) > 0) + 1][1:] == 4).all()


class Alternating(FakePolicy):
    """Chunks plan 0.1 and -0.1 in turn."""

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        chunk = super().infer(observation, committed)
        chunk.actions[:] = np.float32(0.1 if len(self.observations) % 2 else -0.1)
        return chunk


def test_a_chunk_later_than_its_prefix_is_joined_at_limited_speed() -> None:
    limit = BLEND_SHARE * step_limits(SPEC)[0]
    delays = Jittered(ticks=2, seed=1, spikes=0.3, spike=3.0)
    trace = run(LambdaPrefix(EXECUTE, 2), delays, 240, policy=Alternating())
    steps = np.abs(np.diff(trace.actions[:, 0]))
    entries = np.flatnonzero(np.diff(trace.chunk) > 0)
    late = entries[(trace.index[entries + 1] > 2) & (trace.chunk[entries] >= 0)]
    assert len(late) >= 5
    np.testing.assert_allclose(steps[late], limit, rtol=1e-5)
    in_time = entries[(trace.index[entries + 1] <= 2) & (trace.chunk[entries] >= 0)]
    np.testing.assert_allclose(steps[in_time], step_limits(SPEC)[0], rtol=1e-5)
    alone = [begin for begin in late[:-1] if entries[entries > begin][0] >= begin + 4]
    assert alone
    np.testing.assert_allclose(np.abs(trace.actions[np.array(alone) + 4, 0]), 0.1, atol=1e-6)


def test_the_prefix_is_what_gets_executed_also_while_a_late_chunk_is_joined() -> None:
    policy = Alternating()
    late = Jittered(ticks=2, seed=1, jitter=0.0, spikes=0.3, spike=3.0)
    trace = run(LambdaPrefix(EXECUTE, 2), late, 240, policy=policy)
    assert (trace.delay_ticks == 6).sum() >= 5
    for observation, committed in zip(
        policy.observations[1:-1], policy.committed[1:-1], strict=True
    ):
        tick = round(observation.stamp / SPEC.dt)
        assert committed is not None
        np.testing.assert_array_equal(committed.actions, trace.actions[tick : tick + 2])


def test_a_tick_names_the_chunk_whose_action_it_is() -> None:
    diary = Diary()
    late = Jittered(ticks=4, seed=1, spikes=0.3, spike=3.0)  # first actions run out before the rest
    run(StreamingReplan(EXECUTE, 5), late, 240, policy=FakePolicy(30), listeners=[diary])
    plans = {tick.arrival.number: tick.arrival.actions for tick in diary.ticks if tick.arrival}
    acted = [tick for tick in diary.ticks if tick.index >= 0 and tick.chunk in plans]
    assert len(acted) > 200
    for tick in acted:
        np.testing.assert_array_equal(tick.planned, plans[tick.chunk][tick.index])


def test_a_correction_is_made_on_every_tick_from_its_own_observation() -> None:
    plain, corrected = run(NaiveAsynchronous(EXECUTE), Injected(3)), Nudge()
    built, station = executor(Corrected(EXECUTE), Injected(3))
    built._corrector = corrected  # noqa: SLF001 - the same head, kept at hand
    trace = built.run(lambda: station.ticks >= 90)
    assert len(corrected.stamps) == 87
    np.testing.assert_allclose(np.diff(corrected.stamps), SPEC.dt)
    assert not np.array_equal(trace.actions, plain.actions)


def test_a_strategy_without_its_parts_is_refused() -> None:
    station = FakeStation()
    for chunking, says in [(Corrected(6), "correction head"), (StreamingReplan(6, 8), "streams")]:
        with pytest.raises(ChunkingError, match=says):
            Executor(
                station,
                InlinePolicy(FakePolicy()),
                chunking,
                clock=VirtualClock(SPEC.dt),
                latency=Injected(2),
                governor=Governor(SPEC.action_space, step_limits(SPEC)),
            )


class TakesOver:
    """A human who holds the body at its middle from tick 20 to 40."""

    def decide(self, now: Seconds, planned: np.ndarray, last: np.ndarray) -> Command:
        if not 20 <= round(now / SPEC.dt) < 40:
            return Command(action=planned, authority="policy")
        middle = (SPEC.action_space.low + SPEC.action_space.high) / 2
        return Command(action=middle, authority="takeover")


def test_a_takeover_ends_all_plans_and_the_policy_begins_anew() -> None:
    diary, policy = Diary(), FakePolicy()
    trace = run(
        LambdaPrefix(EXECUTE, 3),
        Injected(3),
        policy=policy,
        operator=TakesOver(),
        listeners=[diary],
    )
    taken = [tick.authority == "takeover" for tick in diary.ticks]
    assert np.flatnonzero(taken).tolist() == list(range(20, 40))
    assert not trace.held[20:40].any()
    after = [p for o, p in zip(policy.observations, policy.committed, strict=True)
             if 20 <= round(o.stamp / SPEC.dt) <= 43]  # fmt: skip
    assert all(committed is None for committed in after)
    assert trace.waiting[40:42].all(), "what was being planned is about another pose"
    assert not trace.held[46:].any()


def test_listeners_are_told_of_every_tick() -> None:
    blind, seeing = Diary(), Diary(wants_observations=True)
    trace = run(LambdaPrefix(EXECUTE, 3), Injected(3), listeners=[blind, seeing])
    assert [tick.number for tick in blind.ticks] == list(range(90))
    np.testing.assert_array_equal([tick.executed for tick in seeing.ticks], trace.actions)
    assert all(tick.observation is not None for tick in seeing.ticks)
    arrivals = [tick.arrival for tick in seeing.ticks if tick.arrival]
    assert len(arrivals) == len(trace.delay_ticks)
    assert {arrival.delay for arrival in arrivals} == {3}
    assert arrivals[0].actions.shape == (HORIZON, WIDTH)


def test_nobody_observes_more_than_is_asked_for() -> None:
    diary, policy = Diary(), FakePolicy()
    run(LambdaPrefix(EXECUTE, 3), Injected(3), policy=policy, listeners=[diary])
    seen = [tick.observation for tick in diary.ticks if tick.observation is not None]
    assert len(seen) == len(policy.observations)
