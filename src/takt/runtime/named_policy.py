"""A policy of a user's own, by where it stands: what it is and what it answers is checked.

A class with `reset` and `infer` plans for one robot; with `another` and `infer_together` also for
several at once, each with its own memory. One with `infer_batch` plans for several and keeps none.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from takt.embodiments.user_code import UserCodeError, failures_named, make
from takt.runtime.inference import PolicyError
from takt.types import ActionChunk, Observation, Policy, TaktError

INFER = "infer(observation, committed)"
TOGETHER = "infer_together(policies, observations, committed)"
BATCH = "infer_batch(observations, committed)"

_log = logging.getLogger("takt.policy")


class NamedPolicy:
    """Whose failures name it, and whose plans are plans."""

    def __init__(self, reference: str, policy: Policy) -> None:
        """`reference`: where it stands."""
        self._reference, self._policy = reference, policy

    def reset(self, seed: int) -> None:
        """Begin an episode.

        Raises:
            UserCodeError: its code failed.
        """
        with _failures(f"{self._reference}.reset(seed)"):
            self._policy.reset(seed)

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        """Plan.

        Raises:
            UserCodeError: its code failed.
            PolicyError: it gave no plan.
        """
        with _failures(f"{self._reference}.{INFER}"):
            chunk = self._policy.infer(observation, committed)
        return _plan(chunk, f"{self._reference}.{INFER}")


class NamedTeamPolicy(NamedPolicy):
    """The same for one that keeps a memory and thinks together with others of its make."""

    def __init__(self, reference: str, policy: Any) -> None:  # noqa: ANN401 - has `infer_together`
        """`reference`: where it stands."""
        super().__init__(reference, policy)
        self._member = policy

    def another(self) -> "NamedTeamPolicy":
        """One for another robot; errors as `NamedPolicy.reset`."""
        with _failures(f"{self._reference}.another()"):
            return NamedTeamPolicy(self._reference, self._member.another())

    def infer_together(
        self,
        policies: Sequence["NamedTeamPolicy"],
        observations: Sequence[Observation],
        committed: Sequence[ActionChunk | None],
    ) -> Sequence[ActionChunk]:
        """One plan of each of `policies`; errors as `NamedPolicy.infer`."""
        where, members = f"{self._reference}.{TOGETHER}", [each._member for each in policies]
        with _failures(where):
            chunks = tuple(self._member.infer_together(members, observations, committed))
        return [_plan(chunk, where) for chunk in chunks]


class NamedBatchPolicy:
    """The same for one that plans for several robots and keeps nothing."""

    def __init__(self, reference: str, policy: Any) -> None:  # noqa: ANN401 - has `infer_batch`
        """`reference`: where it stands."""
        self._reference, self._policy = reference, policy

    def infer_batch(
        self, observations: Sequence[Observation], committed: Sequence[ActionChunk | None]
    ) -> Sequence[ActionChunk]:
        """One plan for each observation; errors as `NamedPolicy.infer`."""
        where = f"{self._reference}.{BATCH}"
        with _failures(where):
            chunks = tuple(self._policy.infer_batch(observations, committed))
        return [_plan(chunk, where) for chunk in chunks]


def named_policy(reference: str) -> NamedPolicy:
    """The policy that the class or function at `reference` gives without arguments.

    Raises:
        TaktError: there is none there, its code fails, or it is no policy.
    """
    return as_policy(reference, make(reference))


def as_policy(reference: str, made: Any) -> NamedPolicy:  # noqa: ANN401 - it is checked here
    """`made`, which has all that a policy has.

    Raises:
        TaktError: it has not; the message names what is missing.
    """
    missing = [name for name in ("reset", "infer") if not callable(getattr(made, name, None))]
    if missing:
        raise TaktError(
            f"{reference}: expected a policy with reset(seed) and {INFER}, got "
            f"{type(made).__name__} without {' and '.join(missing)}; see class Wave in "
            "examples/03_new_body.py"
        )
    together = all(hasattr(made, name) for name in ("another", "infer_together"))
    return (NamedTeamPolicy if together else NamedPolicy)(reference, made)


@contextmanager
def _failures(what: str) -> Iterator[None]:
    """As `failures_named`, and the whole traceback is logged: it is written nowhere else."""
    try:
        with failures_named(what):
            yield
    except UserCodeError as error:
        _log.error("%s failed", what, exc_info=error.__cause__)
        raise


def _plan(chunk: object, where: str) -> ActionChunk:
    if isinstance(chunk, ActionChunk):
        return chunk
    got = type(chunk).__name__
    if isinstance(chunk, np.ndarray):
        got = f"an array {chunk.dtype}{list(chunk.shape)}"
    raise PolicyError(
        f"{where}: expected a takt.types.ActionChunk, got {got}; return "
        "ActionChunk(stamp=observation.stamp, dt=<seconds of a tick>, actions=<float array of "
        "(ticks, axes)>)"
    )
