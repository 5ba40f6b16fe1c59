"""The control loop: one tick delivers, triggers, acts. It never waits for a thinking policy.

Latency needs no bookkeeping: the plan is asked what is due now, and the delay of a chunk is the
number of ticks that were executed since its observation.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from takt.runtime.chunking import Chunking, committed_actions, enter, usable_steps
from takt.runtime.clock import Clock
from takt.runtime.inference import PolicyError, PolicyWorker
from takt.runtime.latency import Injected, Latency, Measured
from takt.runtime.safety import Governor
from takt.runtime.trace import Trace, TraceRecorder
from takt.types import ActionChunk, Embodiment, Observation, Seconds, TaktError


@dataclass(frozen=True, slots=True)
class _Pending:
    """An inference in flight."""

    number: int
    tick: int
    stamp: Seconds
    captured: Seconds


@dataclass(frozen=True, slots=True)
class _Plan:
    """The chunk in execution and the capture stamp of the newest image behind it."""

    number: int
    chunk: ActionChunk
    captured: Seconds


class Executor:
    """Runs one episode of `policy` on `body`; make a new one for each."""

    def __init__(
        self,
        body: Embodiment,
        policy: PolicyWorker,
        chunking: Chunking,
        *,
        clock: Clock,
        latency: Latency,
        governor: Governor,
    ) -> None:
        """Nothing moves before the first tick."""
        self._body, self._policy, self._chunking = body, policy, chunking
        self._clock, self._latency, self._governor = clock, latency, governor
        self._tick = 0
        self._submitted = 0
        self._pending: _Pending | None = None
        self._plan: _Plan | None = None
        self._last: np.ndarray | None = None
        self._recorder = TraceRecorder()

    def run(self, finished: Callable[[], bool]) -> Trace:
        """Tick until `finished()`; the body is stopped on every way out."""
        try:
            while not finished():
                self.tick()
        finally:
            self._body.stop()
        return self.trace()

    def trace(self) -> Trace:
        """What was done so far."""
        width = len(self._body.spec.action_space.names)
        return self._recorder.trace(self._governor.interventions, self._clock.missed, width)

    def tick(self) -> None:
        """Deliver, trigger, act, advance."""
        now = self._clock.now()
        if self._arrived():
            self._deliver(now)
        if self._should_infer(now):
            self._submit(now)
            if self._arrived():  # zero delay: the plan acts on the tick it was made for
                self._deliver(now)
        self._act(now)
        self._tick += 1
        self._clock.tick()

    def _arrived(self) -> bool:
        if self._pending is None:
            return False
        match self._latency:
            case Injected(ticks):
                return self._tick >= self._pending.tick + ticks
            case Measured():
                return self._policy.ready()

    def _should_infer(self, now: Seconds) -> bool:
        if self._pending is not None:
            return False
        return self._plan is None or self._plan.chunk.index_at(now) >= self._chunking.execute

    def _submit(self, now: Seconds) -> None:
        observation = _on_control_clock(self._body.observe(), now)
        if self._last is None:
            self._last = _hold_target(observation, self._body)
        plan = self._plan.chunk if self._plan else None
        committed = committed_actions(self._chunking, plan, now, self._last)
        if committed is not None:
            reachable = self._governor.foresee(committed.actions, self._last)
            committed = replace(committed, actions=reachable)
        self._policy.submit(observation, committed)
        captured = max(observation.image_stamps.values(), default=now)
        self._pending = _Pending(self._submitted, self._tick, now, captured)
        self._submitted += 1

    def _deliver(self, now: Seconds) -> None:
        pending, self._pending = self._pending, None
        assert pending is not None
        inference = self._policy.result()
        chunk = inference.chunk
        if len(chunk.actions) == 0 or abs(chunk.stamp - pending.stamp) > 0.5 * chunk.dt:
            raise PolicyError(
                f"expected a chunk stamped {pending.stamp:.3f} s (its observation) with an action, "
                f"got {chunk.stamp:.3f} s and {len(chunk.actions)} actions; mend the policy's infer"
            )
        self._recorder.inferences.append((inference.compute_s, self._tick - pending.tick))
        entered = enter(self._chunking, self._plan.chunk if self._plan else None, chunk, now)
        if entered is None:
            self._recorder.dropped += 1
        else:
            self._plan = _Plan(pending.number, entered, pending.captured)

    def _act(self, now: Seconds) -> None:
        assert self._last is not None
        index, plan = -1, self._plan
        wanted = self._last
        if plan is not None:
            due = plan.chunk.index_at(now)
            if 0 <= due < usable_steps(self._chunking, len(plan.chunk.actions)):
                index, wanted = due, plan.chunk.actions[due]
        action = self._governor.govern(wanted, self._last)
        self._body.act(action)
        self._last = action
        held = index < 0
        self._recorder.rows.append(
            (
                action,
                plan.number if plan else -1,
                index,
                held,
                held and self._pending is not None,
                now - plan.captured if plan else float("nan"),
            )
        )


def _on_control_clock(observation: Observation, now: Seconds) -> Observation:
    """The same observation with its stamps, ages kept, on the executor's clock."""
    shift = now - observation.stamp
    stamps = {name: stamp + shift for name, stamp in observation.image_stamps.items()}
    return replace(observation, stamp=now, image_stamps=stamps)


def _hold_target(observation: Observation, body: Embodiment) -> np.ndarray:
    """Where the body stands, as an action: what the cold start holds."""
    space = body.spec.action_space
    if observation.state.shape != space.low.shape:
        raise TaktError(
            f"body {body.spec.name!r}: expected a state of {len(space.names)} values, one per "
            f"action axis, got {observation.state.shape}; let observe() report the measured axes"
        )
    return np.clip(observation.state, space.low, space.high).astype(np.float32)
