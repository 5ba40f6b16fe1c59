"""A human on a keyboard or gamepad: pushes axes, on top of the policy or alone."""

from dataclasses import dataclass, replace

import numpy as np

from takt.runtime.operator import Command
from takt.runtime.tick import Authority
from takt.types import ActionSpace, Seconds, TaktError

SHARE_OF_RANGE = 0.2  # of an axis a second, at full deflection


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """What the human does at the moment; a device replaces it as a whole.

    Attributes:
        authority: Who decides.
        deflection: (action,) in [-1, 1], the share of the jog speed that each axis is pushed with.
    """

    authority: Authority
    deflection: np.ndarray


class Jog:
    """An `Operator` fed by a device.

    Alone (takeover), the body moves from where it is. Assisting, what was pushed is added to the
    policy's action.
    """

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
        """Nobody pushes; call it from the control loop's own thread."""
        self._added = np.zeros_like(self._step)
        self._push = Push(authority=authority, deflection=np.zeros_like(self._step))

    @property
    def push(self) -> Push:
        """The newest."""
        return self._push

    def give(self, authority: Authority) -> None:
        """Hand the body to the human, to both, or back to the policy."""
        self._push = replace(self._push, authority=authority)

    def deflect(self, deflection: np.ndarray) -> None:
        """(action,) in [-1, 1]; stays until the next call."""
        self._push = replace(self._push, deflection=np.clip(deflection, -1, 1).astype(np.float32))

    def decide(self, now: Seconds, planned: np.ndarray, last: np.ndarray) -> Command:
        """As the newest push says."""
        push = self._push  # devices replace it from their own thread
        moved = self._step * push.deflection
        match push.authority:
            case "policy":
                self._added = np.zeros_like(self._step)
                action = planned
            case "assist":
                self._added = self._added + moved
                action = planned + self._added
            case "takeover":
                self._added = np.zeros_like(self._step)
                action = last + moved
        return Command(action=np.asarray(action, np.float32), authority=push.authority)
