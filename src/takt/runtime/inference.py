"""A policy as the control loop sees it: hand in an observation, collect the plan later."""

import time
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from takt.types import ActionChunk, Observation, Policy, Seconds, TaktError


class PolicyError(TaktError):
    """The policy failed; the message carries its own text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """A finished plan and the pure compute time behind it."""

    chunk: ActionChunk
    compute_s: Seconds


class PolicyWorker(Protocol):
    """One inference in flight at most: `submit`, then `result`."""

    def reset(self, seed: int) -> None:
        """Drop what is in flight and begin a new episode."""

    def submit(self, observation: Observation, committed: ActionChunk | None) -> None:
        """Start an inference; does not wait for it."""

    def ready(self) -> bool:
        """Whether `result` would return at once."""
        ...

    def result(self) -> Inference:
        """The plan of the last `submit`; waits for it.

        Raises:
            PolicyError: the policy failed, died or did not answer in time.
        """
        ...

    def close(self) -> None:
        """Release the policy. Idempotent."""


@runtime_checkable
class StreamingWorker(PolicyWorker, Protocol):
    """A worker whose chunks are finished from the front."""

    def first_ready(self) -> bool:
        """Whether `first` would return at once."""
        ...

    def first(self) -> ActionChunk:
        """The finished leading actions of the inference in flight; waits for them.

        Raises:
            PolicyError: as `result`.
        """
        ...


class Corrector(Protocol):
    """A light head that mends a planned action from what is seen on its own tick (A2C2)."""

    def correct(self, observation: Observation, chunk: ActionChunk, index: int) -> np.ndarray:
        """(action,) to execute instead of `chunk.actions[index]`; must fit in a tick."""
        ...


class InlinePolicy:
    """A policy in our own process: hold player, or an expert that reads the simulator's state."""

    def __init__(self, policy: Policy) -> None:
        """Nothing is in flight."""
        self._policy = policy
        self._inference: Inference | None = None

    def reset(self, seed: int) -> None:
        """Begin a new episode."""
        self._inference = None
        self._policy.reset(seed)

    def submit(self, observation: Observation, committed: ActionChunk | None) -> None:
        """Infer now."""
        began = time.perf_counter()
        chunk = self._policy.infer(observation, committed)
        self._inference = Inference(chunk=chunk, compute_s=time.perf_counter() - began)

    def ready(self) -> bool:
        """True after `submit`."""
        return self._inference is not None

    def result(self) -> Inference:
        """The plan of the last `submit`."""
        if self._inference is None:
            raise PolicyError("expected submit() before result(), got no inference; submit first")
        inference, self._inference = self._inference, None
        return inference

    def close(self) -> None:
        """Nothing to release."""
