"""The governor between executor and body: pass, clamp or stop, each clamp counted by its cause."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from takt.types import ActionSpace, EmbodimentSpec, TaktError

# Half a turn a second: the joint limit of common collaborative arms. A linear axis (gripper) may be
# commanded in one step; its own drive limits the speed.
MAX_SPEED = {"rad": np.pi, "m": np.inf}
# A clamp at a bound counts as an intervention beyond this share of the axis range: a plan that
# wants an axis at its stop (a gripper fully open) scatters round the bound and harms nobody. A
# clamped step always changes the motion; its slack is for rounding only.
BOUND_TOLERANCE = 0.02
STEP_TOLERANCE = 1e-3


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
        self._bound_slack = BOUND_TOLERANCE * (space.high - space.low)
        self._step_slack = STEP_TOLERANCE * max_step
        self._counts: Counter[str] = Counter()

    @property
    def interventions(self) -> Mapping[str, int]:
        """Ticks on which an action was changed noticeably, by cause: `bounds`, `step`."""
        return {cause: ticks for cause, ticks in self._counts.items() if ticks}

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
        bounded, stepped = self._clamp(action, previous)
        self._counts["bounds"] += bool((np.abs(action - bounded) > self._bound_slack).any())
        self._counts["step"] += bool((np.abs(bounded - stepped) > self._step_slack).any())
        return stepped

    def foresee(self, actions: np.ndarray, previous: np.ndarray) -> np.ndarray:
        """(step, action) as `govern` will let them through one after the other; counts nothing."""
        allowed = []
        for action in actions:
            _, previous = self._clamp(action, previous)
            allowed.append(previous)
        return np.array(allowed, np.float32).reshape(actions.shape)

    def _clamp(self, action: np.ndarray, previous: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Within bounds, and then also within reach, float32."""
        bounded = np.clip(action, self._space.low, self._space.high)
        stepped = np.clip(bounded, previous - self._max_step, previous + self._max_step)
        return bounded, stepped.astype(np.float32)
