"""The governor between executor and body: pass, clamp or stop, each clamp counted by its cause."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from takt.types import ActionSpace, EmbodimentSpec, TaktError

# Half a turn a second: the joint limit of common collaborative arms. A linear axis (gripper) may be
# commanded in one step; its own drive limits the speed.
MAX_SPEED = {"rad": np.pi, "m": np.inf}
# A clamp counts as an intervention beyond this share of the axis range: a plan that wants an axis
# at its stop (a gripper fully open) scatters round the bound and harms nobody.
TOLERANCE = 0.02


class UnsafeActionError(TaktError):
    """An action that must not reach the body."""


def step_limits(spec: EmbodimentSpec) -> np.ndarray:
    """Largest change of each axis in one tick, in its own unit: float32 (action,)."""
    speeds = [MAX_SPEED.get(unit, np.inf) for unit in spec.action_space.units]
    return np.asarray(speeds, np.float32) * np.float32(spec.dt)


class Governor:
    """Keeps every executed action finite, within bounds and within one tick's reach."""

    def __init__(self, space: ActionSpace, max_step: np.ndarray) -> None:
        """`max_step` is float32 (action,): the largest change of each axis per tick."""
        self._space = space
        self._max_step = max_step
        self._slack = TOLERANCE * (space.high - space.low)
        self._counts: Counter[str] = Counter()

    @property
    def interventions(self) -> Mapping[str, int]:
        """Ticks on which an action was changed noticeably, by cause: `bounds`, `step`."""
        return dict(self._counts)

    def govern(self, action: np.ndarray, previous: np.ndarray) -> np.ndarray:
        """The action that may be executed after `previous`; both (action,), returns float32.

        Raises:
            UnsafeActionError: a value is NaN or infinite, or the width is wrong.
        """
        if action.shape != self._space.low.shape:
            raise UnsafeActionError(
                f"expected {self._space.low.shape} action, got {action.shape}; "
                "is this policy meant for another body?"
            )
        finite = np.isfinite(action)
        if not finite.all():
            axes = ", ".join(n for n, ok in zip(self._space.names, finite, strict=True) if not ok)
            raise UnsafeActionError(
                f"expected finite targets, got NaN or infinity for {axes}; "
                "the body was stopped: check the policy and its statistics"
            )
        bounded = np.clip(action, self._space.low, self._space.high)
        self._count("bounds", action, bounded)
        stepped = np.clip(bounded, previous - self._max_step, previous + self._max_step)
        self._count("step", bounded, stepped)
        return stepped.astype(np.float32)

    def _count(self, cause: str, wanted: np.ndarray, allowed: np.ndarray) -> None:
        if (np.abs(wanted - allowed) > self._slack).any():
            self._counts[cause] += 1
