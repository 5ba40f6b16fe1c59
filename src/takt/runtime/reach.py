"""How far a body may go within one tick: what it can brake from, and where its tools may be."""

from dataclasses import dataclass

import numpy as np

from takt.embodiments.limits import AxisBox, ToolBox, Workspace

BISECTIONS = 12  # leaves 1/4096 of one tick's motion


@dataclass(frozen=True, slots=True)
class Motion:
    """The last tick of a body: the step it took and the target it was to reach, both (action,)."""

    step: np.ndarray
    target: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """Largest difference of two successive steps, and largest step; (action,), may be infinite."""

    change: np.ndarray
    max_step: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def follow(self, target: np.ndarray, previous: np.ndarray, before: Motion) -> np.ndarray:
        """Where a body of limited acceleration gets on its way from `previous` to `target`.

        A plan that keeps the limits passes untouched. Behind any other the body catches up so that
        it comes to rest beside the plan instead of overshooting, and it is never so fast that it
        could not brake before a bound.
        """
        low, high = np.minimum(self.low, previous), np.maximum(self.high, previous)
        step = target - previous
        moved, change = before.step, self.change
        lowest = np.maximum(-self.max_step, -_stoppable(previous - low, change))
        highest = np.minimum(self.max_step, _stoppable(high - previous, change))
        # a body that is too fast to stop in time brakes as hard as it may
        lowest = np.minimum(np.maximum(lowest, moved - change), moved + change)
        highest = np.maximum(np.minimum(highest, moved + change), moved - change)
        pace = target - before.target
        behind = step - pace
        eased = pace + np.sign(behind) * np.minimum(np.abs(behind), _stoppable(behind, change))
        passes = (lowest <= step) & (step <= highest) & (np.abs(behind) <= change)
        limited = previous + np.clip(eased, np.minimum(lowest, highest), highest)
        return np.where(passes, target, np.clip(limited, low, high)).astype(np.float32)


def _stoppable(distance: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Largest step from which steps that shrink by `change` end within `distance`.

    A step v followed by v - c, v - 2c, ... covers at most v + v^2 / 2c.
    """
    limited = np.isfinite(change)
    c = np.where(limited, change, 1.0).astype(np.float64)
    room = np.abs(distance)
    return np.where(limited, np.sqrt(c * c + 2 * c * room) - c, np.inf)


def clip_nearer(
    wanted: np.ndarray, previous: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """`wanted` clipped to its bounds; where `previous` is outside, it may only come nearer."""
    return np.clip(wanted, np.minimum(low, previous), np.maximum(high, previous))


def keep_inside(wanted: np.ndarray, previous: np.ndarray, box: Workspace | None) -> np.ndarray:
    """`wanted`, or as much of the way to it from `previous` as stays in the box.

    A body that begins outside may only come nearer.
    """
    match box:
        case None:
            return wanted
        case AxisBox(low=low, high=high):
            return clip_nearer(wanted, previous, low, high)
        case ToolBox():
            return _keep_tools_inside(wanted, previous, box)


def _keep_tools_inside(wanted: np.ndarray, previous: np.ndarray, box: ToolBox) -> np.ndarray:
    there = _outside(wanted, box)
    if there <= 0:
        return wanted
    here = _outside(previous, box)
    if here > 0:
        return wanted if there < here else previous
    share, refused = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = 0.5 * (share + refused)
        if _outside(previous + middle * (wanted - previous), box) <= 0:
            share = middle
        else:
            refused = middle
    return (previous + share * (wanted - previous)).astype(np.float32)


def _outside(action: np.ndarray, box: ToolBox) -> float:
    """How far the farthest tool is out of the box, metres; infinity where it is not known."""
    tools = np.asarray(box.tools(action)).reshape(-1, 3)
    excess = float(np.maximum(box.low - tools, tools - box.high).max())
    return excess if np.isfinite(excess) else np.inf
