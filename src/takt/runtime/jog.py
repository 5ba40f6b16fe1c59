"""A human on a keyboard or gamepad: pushes axes, on top of the policy or alone, and judges."""

import numpy as np

from takt.runtime.operator import Command
from takt.runtime.tick import Authority
from takt.types import ActionSpace, Seconds, TaktError

SHARE_OF_RANGE = 0.2  # of an axis a second, at full deflection


class Jog:
    """An `Operator` fed by a device, from a thread of the device's own.

    Alone (takeover), the body moves from where it is. Assisting, what was pushed is added to the
    policy's action.

    Attributes:
        authority: Who decides; a device sets it to hand the body over.
        verdict: Whether the episode was good, which also ends it; None until it is judged.
    """

    # each is replaced as a whole: a device must not bring back what a new episode has forgotten
    authority: Authority
    verdict: bool | None

    def __init__(self, space: ActionSpace, dt: Seconds, authority: Authority = "policy") -> None:
        """Nobody pushes.

        Args:
            space: Of the body; its axes need finite bounds.
            dt: Length of a tick.
            authority: Who decides at first.
        """
        if not np.isfinite(space.high - space.low).all():
            raise TaktError(
                "expected an axis range for every axis to be jogged, one is infinite; set low and "
                "high in the body's file"
            )
        self._step = np.asarray(SHARE_OF_RANGE * dt * (space.high - space.low), np.float32)
        self.new_episode(authority)

    def new_episode(self, authority: Authority) -> None:
        """Nobody pushes, nobody has judged; call it from the control loop's own thread."""
        self._added = np.zeros_like(self._step)
        self._deflection = np.zeros_like(self._step)
        self.authority, self.verdict = authority, None

    @property
    def deflection(self) -> np.ndarray:
        """(action,) in [-1, 1], the share of the jog speed that each axis is pushed with."""
        return self._deflection

    def deflect(self, deflection: np.ndarray) -> None:
        """(action,) in [-1, 1]; stays until the next call."""
        self._deflection = np.clip(deflection, -1, 1).astype(np.float32)

    def let_go(self) -> None:
        """Nobody pushes; who decides still does."""
        self._deflection = np.zeros_like(self._step)

    def decide(self, now: Seconds, planned: np.ndarray, last: np.ndarray) -> Command:
        """As the device said last."""
        authority = self.authority  # may change meanwhile
        moved = self._step * self._deflection
        match authority:
            case "policy":
                self._added = np.zeros_like(self._step)
                action = planned
            case "assist":
                self._added = self._added + moved
                action = planned + self._added
            case "takeover":
                self._added = np.zeros_like(self._step)
                action = last + moved
        return Command(action=np.asarray(action, np.float32), authority=authority)
