"""The governor between executor and body: pass, clamp or stop, each noted with its cause."""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from takt.embodiments.limits import UNLIMITED, AxisBox, Limits, LimitsError
from takt.runtime.reach import Accelerator, Motion, clip_nearer, keep_inside
from takt.types import ActionSpace, EmbodimentSpec, Seconds, TaktError

# Half a turn a second: the joint limit of common collaborative arms. A linear axis (gripper) may be
# commanded in one step; its own drive limits the speed.
MAX_SPEED = {"rad": np.pi, "deg": 180.0, "m": np.inf}
# A clamp at a bound counts as an intervention beyond this share of the axis range: a plan that
# wants an axis at its stop (a gripper fully open) scatters round the bound and harms nobody. A
# clamped step always changes the motion; its slack is for rounding only.
BOUND_TOLERANCE = 0.02
STEP_TOLERANCE = 1e-3
LOGGED = 10_000

Touch = Callable[[], np.ndarray | None]


class UnsafeActionError(TaktError):
    """An action that must not reach the body."""


class ForceLimitError(UnsafeActionError):
    """The body presses harder than it may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervention:
    """What the governor changed on its `tick`-th tick, on which axes, why."""

    tick: int
    cause: str
    axes: tuple[str, ...]


def step_limits(spec: EmbodimentSpec, limits: Limits = UNLIMITED) -> np.ndarray:
    """Largest change of each axis in one tick, in its own unit: float32 (action,)."""
    speeds = [MAX_SPEED.get(unit, np.inf) for unit in spec.action_space.units]
    allowed = np.asarray(speeds, np.float32)
    if limits.velocity is not None:
        allowed = limits.velocity
    return allowed * np.float32(spec.dt)


class Governor:
    """Keeps every executed action finite, within bounds and within one tick's reach.

    In this order, the later ones having the last word: `bounds`, `step` (velocity), `acceleration`,
    `workspace`; and `force`, which stops. One governor serves one episode, which begins at rest. A
    body that begins outside its bounds or its workspace may only come nearer, as fast as ever.
    """

    def __init__(
        self,
        space: ActionSpace,
        max_step: np.ndarray,
        *,
        limits: Limits = UNLIMITED,
        dt: Seconds = 1.0,
        touch: Touch | None = None,
    ) -> None:
        """See `of` for a body's own limits.

        Args:
            space: Names and bounds of the axes.
            max_step: float32 (action,), the largest change of each axis per tick.
            limits: Further limits; their velocity is in `max_step` already.
            dt: Seconds in a tick, for the acceleration.
            touch: Newest measured forces (touch,), asked on every tick.

        Raises:
            LimitsError: the limits are not this body's.
        """
        _require_fit(space, limits, touch)
        self._space, self._limits, self._touch = space, limits, touch
        self.max_step = max_step
        self._accelerator = _accelerator(space, max_step, limits, dt)
        self._bound_slack = BOUND_TOLERANCE * (space.high - space.low)
        self._step_slack = STEP_TOLERANCE * max_step
        self._before: Motion | None = None
        self._tick = -1
        self._counts: Counter[str] = Counter()
        self._log: deque[Intervention] = deque(maxlen=LOGGED)
        self.causes: tuple[str, ...] = ()
        """Why the last action was changed; empty if it passed."""

    @classmethod
    def of(
        cls, spec: EmbodimentSpec, limits: Limits = UNLIMITED, touch: Touch | None = None
    ) -> Self:
        """The governor of a body with its own limits."""
        steps = step_limits(spec, limits)
        return cls(spec.action_space, steps, limits=limits, dt=spec.dt, touch=touch)

    @property
    def interventions(self) -> Mapping[str, int]:
        """Ticks on which an action was changed noticeably, by cause."""
        return {cause: ticks for cause, ticks in self._counts.items() if ticks}

    @property
    def log(self) -> Sequence[Intervention]:
        """The newest interventions, one for each tick and cause."""
        return tuple(self._log)

    def govern(self, action: np.ndarray, previous: np.ndarray) -> np.ndarray:
        """The action that may be executed after `previous`; both (action,), returns float32.

        Raises:
            UnsafeActionError: a value is NaN or infinite, the width is wrong, or a force is too
                large.
        """
        self._tick += 1
        self._require_sane(action)
        self._require_gentle()
        reached, causes = action, []
        for cause, after, slack in self._stages(action, previous, self._before):
            changed = np.abs(reached - after) > slack
            if changed.any():
                causes.append(cause)
                self._note(cause, changed)
            reached = after
        self.causes = tuple(causes)
        self._before = Motion(reached - previous, self._bounded(action, previous))
        return reached

    def foresee(self, actions: np.ndarray, previous: np.ndarray, steps: int) -> np.ndarray:
        """(steps, action) as `govern` will let them through one after the other; counts nothing.

        After the last of `actions` what was reached is held, as the executor does.
        """
        allowed, before = [], self._before
        for step in range(steps):
            action = actions[step] if step < len(actions) else self._space.held(previous)
            *_, (_, reached, _) = self._stages(action, previous, before)
            before = Motion(reached - previous, self._bounded(action, previous))
            previous = reached
            allowed.append(reached)
        return np.array(allowed, np.float32).reshape(steps, len(previous))

    def _stages(
        self, action: np.ndarray, previous: np.ndarray, before: Motion | None
    ) -> Iterator[tuple[str, np.ndarray, np.ndarray | float]]:
        """Cause, what is left of `action`, and the change that is not worth counting; in order."""
        bounded = self._bounded(action, previous)
        yield "bounds", bounded, self._bound_slack
        reached = np.clip(bounded, previous - self.max_step, previous + self.max_step)
        reached = reached.astype(np.float32)
        yield "step", reached, self._step_slack
        if self._accelerator is not None:
            at_rest = Motion(np.zeros_like(previous), previous)
            reached = self._accelerator.follow(bounded, previous, before or at_rest)
            yield "acceleration", reached, STEP_TOLERANCE * self._accelerator.change
        if self._limits.workspace is not None:
            reached = keep_inside(reached, previous, self._limits.workspace).astype(np.float32)
            yield "workspace", reached, 1e-6

    def _bounded(self, action: np.ndarray, previous: np.ndarray) -> np.ndarray:
        return clip_nearer(action, previous, self._space.low, self._space.high)

    def _require_sane(self, action: np.ndarray) -> None:
        if action.shape != self._space.low.shape:
            raise UnsafeActionError(
                f"expected {self._space.low.shape} action, got {action.shape}; "
                "is this policy meant for another body?"
            )
        finite = np.isfinite(action)
        if not finite.all():
            axes = ", ".join(self._named(~finite))
            raise UnsafeActionError(
                f"expected finite targets, got NaN or infinity for {axes}; "
                "the body was stopped: check the policy and its statistics"
            )

    def _require_gentle(self) -> None:
        limit = self._limits.force
        if limit is None or self._touch is None:
            return
        force = self._touch()
        if force is None or force.shape != limit.shape or not (np.abs(force) <= limit).all():
            self._note("force", np.zeros(len(self._space.names), bool))
            self.causes = ("force",)
            measured = None if force is None else force.tolist()
            raise ForceLimitError(
                f"expected measured forces of at most {limit.tolist()}, got {measured}; the body "
                "was stopped: free it, look at what it touched, begin again"
            )

    def _note(self, cause: str, axes: np.ndarray) -> None:
        self._counts[cause] += 1
        self._log.append(Intervention(tick=self._tick, cause=cause, axes=self._named(axes)))

    def _named(self, axes: np.ndarray) -> tuple[str, ...]:
        return tuple(name for name, one in zip(self._space.names, axes, strict=True) if one)


def _accelerator(
    space: ActionSpace, max_step: np.ndarray, limits: Limits, dt: Seconds
) -> Accelerator | None:
    if limits.acceleration is None:
        return None
    change = limits.acceleration * np.float32(dt * dt)
    return Accelerator(change=change, max_step=max_step, low=space.low, high=space.high)


def _require_fit(space: ActionSpace, limits: Limits, touch: Touch | None) -> None:
    width, box = len(space.names), limits.workspace
    for name, values in (
        ("velocity limit", limits.velocity),
        ("acceleration limit", limits.acceleration),
        ("workspace", box.low if isinstance(box, AxisBox) else None),
    ):
        if values is not None and len(values) != width:
            raise LimitsError(
                f"{name}: expected {width} axes, got {len(values)}; give one for each"
            )
    if not (space.low <= space.high).all():  # nor is NaN
        raise LimitsError(
            f"action bounds: expected low <= high on every axis, got {space.low.tolist()} and "
            f"{space.high.tolist()}; mend the body's spec"
        )
    if limits.force is not None and touch is None:
        raise LimitsError(
            "expected a body that measures touch, because its force is limited; "
            "let its driver fill JointSample.touch, or leave the limit out"
        )
