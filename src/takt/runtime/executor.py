"""The control loop: one tick delivers, triggers, acts. It never waits for a thinking policy.

Latency needs no bookkeeping: the plan is asked what is due now, and the delay of a chunk is the
number of ticks that were executed since its observation.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from takt.runtime.chunking import (
    Chunking,
    ChunkingError,
    Corrected,
    Prefixed,
    StreamingReplan,
    committed_actions,
)
from takt.runtime.clock import Clock
from takt.runtime.in_flight import InFlight, Request
from takt.runtime.inference import Corrector, PolicyWorker, StreamingWorker
from takt.runtime.latency import Latency
from takt.runtime.operator import Operator
from takt.runtime.plan import Due, Entry, Plan
from takt.runtime.safety import Governor
from takt.runtime.tick import Arrival, Authority, Listener, Tick
from takt.runtime.trace import Trace, TraceRecorder
from takt.types import ActionChunk, Embodiment, EmbodimentSpec, Observation, Seconds, TaktError

BLEND_SHARE = 0.5  # of a tick's largest step, for taking back what a late chunk missed


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
        corrector: Corrector | None = None,
        operator: Operator | None = None,
        listeners: Sequence[Listener] = (),
    ) -> None:
        """Nothing moves before the first tick.

        Raises:
            ChunkingError: a strategy without the worker or head that it needs.
        """
        _require_parts(chunking, policy, corrector)
        self._body, self._chunking = body, chunking
        self._clock, self._governor = clock, governor
        self._corrector, self._operator, self._listeners = corrector, operator, tuple(listeners)
        self._prefix = chunking.prefix if isinstance(chunking, Prefixed) else 0
        self._sees_all = corrector is not None or any(li.wants_observations for li in listeners)
        self._tick = 0
        self._in_flight = InFlight(policy, latency)
        self._plan = Plan(chunking, np.float32(BLEND_SHARE) * governor.max_step)
        self._last: np.ndarray | None = None
        self._pushed: np.ndarray | None = None  # all that a human who assists added
        self._assisted: np.ndarray | None = None  # what of it the plan in execution does not know
        self._known: np.ndarray | None = None  # what of it the newest observation has shown
        self._seen: Observation | None = None
        self._arrival: Arrival | None = None
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
        self._arrival = None
        self._seen = self._observe(now) if self._sees_all else None
        self._receive(now)
        if self._should_infer(now):
            self._submit(now)
            self._receive(now)  # zero delay: the plan acts on the tick it was made for
        self._act(now)
        self._tick += 1
        self._clock.tick()

    def _observe(self, now: Seconds) -> Observation:
        observation = _on_control_clock(self._body.observe(), now)
        if self._last is None:
            self._last = hold_target(observation, self._body.spec)
        return observation

    def _should_infer(self, now: Seconds) -> bool:
        if self._in_flight:
            return False
        chunk = self._plan.chunk
        if chunk is None:
            return True
        return chunk.index_at(now) >= min(self._chunking.execute, len(chunk.actions))

    def _submit(self, now: Seconds) -> None:
        self._seen = self._seen or self._observe(now)
        assert self._last is not None
        committed = committed_actions(self._chunking, self._plan.chunk, now)
        if committed is not None:
            blended = self._plan.blended(committed.actions)
            if self._assisted is not None:
                blended = blended + self._assisted
            reachable = self._governor.foresee(blended, self._last, self._prefix)
            committed = replace(committed, actions=reachable)
        self._known = self._pushed
        self._in_flight.submit(self._seen, committed, self._tick)

    def _receive(self, now: Seconds) -> None:
        if isinstance(self._chunking, StreamingReplan):
            self._receive_first(self._chunking.first, now)
        taken = self._in_flight.take(self._tick)
        if taken is None:
            return
        request, inference = taken
        chunk, delay = inference.chunk, self._tick - request.tick
        assert self._last is not None
        entry = self._entry(request, chunk)
        used = not request.stale and self._plan.enter(entry, now, self._last)
        self._recorder.inferences.append((inference.compute_s, delay))
        self._recorder.dropped += not used
        self._arrival = Arrival(
            number=request.number,
            stamp=request.stamp,
            dt=chunk.dt,
            actions=chunk.actions,
            delay=delay,
            compute_s=inference.compute_s,
            used=used,
        )

    def _receive_first(self, steps: int, now: Seconds) -> None:
        taken = self._in_flight.take_first(self._tick)
        if taken is not None and not taken[0].stale:
            request, chunk = taken
            chunk = replace(chunk, actions=chunk.actions[:steps])
            self._plan.enter_first(self._entry(request, chunk), now)

    def _entry(self, request: Request, chunk: ActionChunk) -> Entry:
        return Entry(
            number=request.number, chunk=chunk, captured=request.captured, assisted=self._known
        )

    def _act(self, now: Seconds) -> None:
        assert self._last is not None
        due = self._plan.due(now)
        planned = self._wanted(due)
        action, authority = self._decide(now, planned, due)
        if authority == "takeover":
            due = None
        action = self._governor.govern(action, self._last)
        self._body.act(action)
        self._last = action
        self._record(now, due, planned, authority)

    def _wanted(self, due: Due | None) -> np.ndarray:
        assert self._last is not None
        if due is None:
            # the human's share comes on top of it again: it must not add up while nothing is due
            last = self._last if self._assisted is None else self._last - self._assisted
            return self._body.spec.action_space.held(last)
        if self._corrector is None:
            return due.action
        assert self._seen is not None
        return self._corrector.correct(self._seen, due.entry.chunk, due.index)

    def _decide(
        self, now: Seconds, planned: np.ndarray, due: Due | None
    ) -> tuple[np.ndarray, Authority]:
        if self._operator is None:
            return planned, "policy"
        assert self._last is not None
        command = self._operator.decide(now, planned, self._last)
        if command.authority == "assist":
            return self._assist(planned, command.action - planned, due), "assist"
        if self._pushed is not None:
            self._plan.forget_assistance()
            self._pushed = self._assisted = self._known = None
        if command.authority == "takeover":
            # what was planned, and what is being planned, is about a body that went elsewhere
            self._plan.clear()
            self._in_flight.make_stale()
        return command.action, command.authority

    def _assist(self, planned: np.ndarray, pushed: np.ndarray, due: Due | None) -> np.ndarray:
        """`planned` and what of `pushed` it does not know; it must not run away by being told."""
        before = np.zeros_like(pushed) if self._pushed is None else self._pushed
        if due is None:
            assisted = (
                pushed - before if self._assisted is None else self._assisted + pushed - before
            )
        else:
            assisted = pushed if due.entry.assisted is None else pushed - due.entry.assisted
        self._pushed, self._assisted = pushed, assisted
        return planned + assisted

    def _record(
        self, now: Seconds, due: Due | None, planned: np.ndarray, authority: Authority
    ) -> None:
        assert self._last is not None
        held = due is None and authority != "takeover"
        waiting = held and bool(self._in_flight)
        index = due.index if due else -1
        number = due.entry.number if due else self._plan.number
        captured = due.entry.captured if due else self._plan.captured
        age = now - captured if captured is not None else float("nan")
        self._recorder.rows.append((self._last, number, index, held, waiting, age))
        if not self._listeners:
            return
        tick = Tick(
            number=self._tick,
            now=now,
            observation=self._seen,
            planned=planned,
            executed=self._last,
            chunk=number,
            index=index,
            held=held,
            waiting=waiting,
            authority=authority,
            causes=self._governor.causes,
            age_s=None if captured is None else age,
            arrival=self._arrival,
        )
        for listener in self._listeners:
            listener.on_tick(tick)


def _require_parts(chunking: Chunking, policy: PolicyWorker, corrector: Corrector | None) -> None:
    if isinstance(chunking, Corrected) != (corrector is not None):
        raise ChunkingError(
            "expected a correction head with Corrected and with nothing else, got "
            f"{type(chunking).__name__} and {type(corrector).__name__}; pass corrector= or choose "
            "another strategy"
        )
    if isinstance(chunking, StreamingReplan) and not isinstance(policy, StreamingWorker):
        raise ChunkingError(
            f"expected a worker that streams its leading actions, got {type(policy).__name__}; "
            "choose NaiveAsynchronous for it"
        )


def _on_control_clock(observation: Observation, now: Seconds) -> Observation:
    """The same observation with its stamps, ages kept, on the executor's clock."""
    shift = now - observation.stamp
    stamps = {name: stamp + shift for name, stamp in observation.image_stamps.items()}
    return replace(observation, stamp=now, image_stamps=stamps)


def hold_target(observation: Observation, spec: EmbodimentSpec) -> np.ndarray:
    """Where the body stands, as an action (action,) float32: what the cold start holds.

    A space that says what to begin with is taken at its word.

    It may be outside the bounds: there the governor lets the body come nearer, not leap.

    Raises:
        TaktError: the state lacks an action axis, or is not finite.
    """
    space, names = spec.action_space, spec.state_names
    if space.initial is not None:
        return space.initial
    if observation.state.shape != (len(names),) or not set(space.names) <= set(names):
        raise TaktError(
            f"body {spec.name!r}: expected a state of {len(names)} values that has every "
            f"action axis, got {observation.state.shape}; let observe() report the measured axes"
        )
    place = observation.state[[names.index(name) for name in space.names]]
    if not np.isfinite(place).all():
        raise TaktError(
            f"body {spec.name!r}: expected finite measured axes, got {place.tolist()}; mend its "
            "observe()"
        )
    return place
