"""A user's own simulation: the executor's view of it, in which every failure names it."""

from typing import Any

import numpy as np

from takt.embodiments.limits import Limits
from takt.embodiments.user_code import failures_named
from takt.types import EmbodimentSpec, Observation, TaktError


class OwnBody:
    """An `Embodiment`; `reset` and `finished` do nothing where it has none.

    Raises:
        UserCodeError: from every method, if its code fails.
    """

    def __init__(self, reference: str, body: Any, spec: EmbodimentSpec, limits: Limits) -> None:  # noqa: ANN401
        """`reference`: where it stands; `body` has all that an embodiment has."""
        self._reference, self._body = reference, body
        self.spec, self.limits = spec, limits

    def reset(self, seed: int) -> None:
        """Begin an episode."""
        with failures_named(f"{self._reference}.reset(seed)"):
            getattr(self._body, "reset", lambda seed: None)(seed)

    @property
    def finished(self) -> bool:
        """Whether the body says that the episode is over."""
        with failures_named(f"{self._reference}.finished"):
            return bool(getattr(self._body, "finished", False))

    def observe(self) -> Observation:
        """Sense.

        Raises:
            TaktError: it gave something else.
        """
        with failures_named(f"{self._reference}.observe()"):
            seen = self._body.observe()
        if not isinstance(seen, Observation):
            raise TaktError(
                f"{self._reference}.observe(): expected a takt.types.Observation, got "
                f"{type(seen).__name__}; return one"
            )
        return seen

    def act(self, action: np.ndarray) -> None:
        """Act for a tick."""
        with failures_named(f"{self._reference}.act(action)"):
            self._body.act(action)

    def stop(self) -> None:
        """Hold still."""
        with failures_named(f"{self._reference}.stop()"):
            self._body.stop()
