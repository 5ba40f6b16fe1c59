"""The one inference in flight: when it was asked for, and whether its plan is here."""

import math
from dataclasses import dataclass

from takt.runtime.inference import Inference, PolicyError, PolicyWorker, StreamingWorker
from takt.runtime.latency import Injected, Jittered, Latency, Measured
from takt.types import ActionChunk, Observation, Seconds


@dataclass(slots=True, kw_only=True)
class Request:
    """An inference that was asked for.

    Attributes:
        number: Counts from 0 in an episode.
        tick: On which it was asked for.
        stamp: Of its observation.
        captured: Stamp of the newest image in it.
        delay: Ticks until it arrives; None: when it is ready.
        first_delay: The same for its leading actions.
        first_taken: They were handed out.
        stale: Its observation is no longer true of the body.
    """

    number: int
    tick: int
    stamp: Seconds
    captured: Seconds
    delay: int | None
    first_delay: int | None
    first_taken: bool = False
    stale: bool = False


class InFlight:
    """Asks a policy, one thing at a time, and says when its answer has arrived."""

    def __init__(self, policy: PolicyWorker, latency: Latency) -> None:
        """Nothing is in flight."""
        self._policy, self._latency = policy, latency
        self._asked = 0
        self._request: Request | None = None

    def __bool__(self) -> bool:
        """Whether an answer is awaited."""
        return self._request is not None

    def submit(self, observation: Observation, committed: ActionChunk | None, tick: int) -> None:
        """Ask for a plan from `observation` on."""
        self._policy.submit(observation, committed)
        delay, first_delay = _delays(self._latency, self._asked)
        now = observation.stamp
        self._request = Request(
            number=self._asked,
            tick=tick,
            stamp=now,
            captured=max(observation.image_stamps.values(), default=now),
            delay=delay,
            first_delay=first_delay,
        )
        self._asked += 1

    def make_stale(self) -> None:
        """Somebody else moved the body: the answer will be of no use."""
        if self._request is not None:
            self._request.stale = True

    def take(self, tick: int) -> tuple[Request, Inference] | None:
        """The answer, if it has arrived.

        Raises:
            PolicyError: the policy failed, or its chunk does not begin at its observation.
        """
        request = self._request
        if request is None:
            return None
        waited = tick - request.tick
        if waited < request.delay if request.delay is not None else not self._policy.ready():
            return None
        self._request = None
        inference = self._policy.result()
        _require_chunk(inference.chunk, request.stamp)
        return request, inference

    def take_first(self, tick: int) -> tuple[Request, ActionChunk] | None:
        """The finished leading actions of the answer, once, if they have arrived."""
        request, policy = self._request, self._policy
        if request is None or request.first_taken or not isinstance(policy, StreamingWorker):
            return None
        waited = tick - request.tick
        first = request.first_delay
        if waited < first if first is not None else not policy.first_ready():
            return None
        request.first_taken = True
        chunk = policy.first()
        _require_chunk(chunk, request.stamp)
        return request, chunk


def _delays(latency: Latency, number: int) -> tuple[int | None, int | None]:
    match latency:
        case Injected(ticks, first):
            return ticks, min(first, ticks)
        case Jittered():
            delay = latency.delay(number)
            return delay, math.ceil(latency.first_share * delay)
        case Measured():
            return None, None


def _require_chunk(chunk: ActionChunk, stamp: Seconds) -> None:
    begins = 0 < chunk.dt < math.inf and abs(chunk.stamp - stamp) <= 0.5 * chunk.dt  # no NaN does
    if len(chunk.actions) == 0 or not begins:
        raise PolicyError(
            f"expected a chunk stamped {stamp:.3f} s (its observation) with an action, "
            f"got {chunk.stamp:.3f} s, {len(chunk.actions)} actions and a tick of {chunk.dt:g} s; "
            "mend the policy's infer"
        )
