"""What an episode's numbers tell about a tick: the ground for questions about it."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

_OPEN, _CLOSED = 2 / 3, 1 / 3  # shares of the gripper's range; between them it is neither
_CLEAR = 2.0  # the main axis of a motion, in multiples of the next
_MOVES, _RESTS = 0.1, 0.01  # of the largest range of x, y and z

Direction = Literal["forward", "backward", "left", "right", "up", "down"]
OPPOSITE: Mapping[Direction, Direction] = {
    "forward": "backward",
    "backward": "forward",
    "left": "right",
    "right": "left",
    "up": "down",
    "down": "up",
}


def openness(values: np.ndarray, low: float, high: float, opens: str) -> np.ndarray | None:
    """Share of the way from closed to open, (tick,); None for an axis that never moves."""
    if not high - low > 1e-6:
        return None
    share = (values - low) / (high - low)
    return share if opens == "high" else 1 - share


def is_open(share: float) -> bool | None:
    """None where it cannot be said."""
    if share >= _OPEN:
        return True
    return False if share <= _CLOSED else None


def next_change(share: np.ndarray, tick: int) -> bool | None:
    """Whether the gripper opens next (True) or closes; None if it does neither any more."""
    now = is_open(float(share[tick]))
    later = (is_open(float(value)) for value in share[tick + 1 :])
    return next((state for state in later if state is not None and state is not now), None)


def direction(moved: np.ndarray, span: float, axes: Sequence[Direction]) -> str | None:
    """The main direction of `moved` (3,), "" for rest, None where it cannot be said.

    `span` is how far the thing moves in all; `axes` is where x, y and z point.
    """
    length = np.abs(moved)
    order = np.argsort(-length, kind="stable")
    if length[order[0]] <= _RESTS * span:
        return ""
    if length[order[0]] < _MOVES * span or length[order[0]] < _CLEAR * length[order[1]]:
        return None
    axis = axes[order[0]]
    way = axis if moved[order[0]] > 0 else OPPOSITE[axis]
    return f"to the {way}" if way in ("left", "right") else way


def steps(instructions: Sequence[str]) -> list[tuple[int, str]]:
    """First tick and text of each step of an episode with instructions by tick."""
    changes = [
        0,
        *(k for k in range(1, len(instructions)) if instructions[k] != instructions[k - 1]),
    ]
    return [(k, instructions[k]) for k in changes if instructions[k].strip()]
