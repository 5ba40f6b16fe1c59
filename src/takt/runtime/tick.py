"""What happened on one control tick, as recorders, boards and viewers are told."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from takt.types import Observation, Seconds

Authority = Literal["policy", "assist", "takeover"]
"""Who decided: the policy, a human on top of it, or a human alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A chunk that came in; `delay` in executed ticks since its observation.

    `actions` is (horizon, action) and was due from `stamp` on, `dt` apart. `used`: False if all of
    it was past, or a human had taken over meanwhile.
    """

    number: int
    stamp: Seconds
    dt: Seconds
    actions: np.ndarray
    delay: int
    compute_s: Seconds
    used: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """One executed tick.

    Attributes:
        number: Counts from 0 in an episode.
        now: Control time, seconds.
        observation: Of this tick; None where nobody asked for it.
        planned: (action,) what the plan said, the last action where nothing was due.
        executed: (action,) what the body was given.
        chunk: Number of the chunk acted on, -1 before the first.
        index: Place in it, -1 when held.
        held: Nothing was due and the last action was repeated.
        waiting: Held with an inference in flight.
        authority: Who decided.
        causes: Why the governor changed the action, in its own words; empty mostly.
        age_s: Now minus capture of the newest image behind the action; None without a chunk.
        arrival: The chunk that came in on this tick.
    """

    number: int
    now: Seconds
    observation: Observation | None
    planned: np.ndarray
    executed: np.ndarray
    chunk: int
    index: int
    held: bool
    waiting: bool
    authority: Authority
    causes: tuple[str, ...]
    age_s: Seconds | None
    arrival: Arrival | None


class Listener(Protocol):
    """Told of every tick, inside the control loop: it must return at once and keep no lock."""

    @property
    def wants_observations(self) -> bool:
        """Whether the body is to be observed on every tick, not only for inferences."""
        ...

    def on_tick(self, tick: Tick) -> None:
        """Take note; arrays must not be written to."""
