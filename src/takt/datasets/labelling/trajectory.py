"""What an episode's numbers tell about a tick: the ground for questions about it."""

from collections.abc import Sequence

import numpy as np

_OPEN, _CLOSED = 2 / 3, 1 / 3  # shares of the gripper's range; between them it is neither
_CLEAR = 2.0  # the main axis of a motion, in multiples of the next
_MOVES, _RESTS = 0.1, 0.01  # of the largest range of x, y and z
DIRECTIONS = (("backward", "forward"), ("to the right", "to the left"), ("down", "up"))
"""Of x, y and z, negative and positive (ROS REP 103: x forward, y left, z up)."""
IMAGE_DIRECTIONS = (("left", "right"), ("up", "down"))


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


def direction(moved: np.ndarray, span: float, words: Sequence[tuple[str, str]]) -> str | None:
    """The main direction of `moved`, "" for rest, None where it cannot be said.

    `span` is how far the thing moves in all.
    """
    length = np.abs(moved)
    order = np.argsort(-length, kind="stable")
    if length[order[0]] <= _RESTS * span:
        return ""
    if length[order[0]] < _MOVES * span or length[order[0]] < _CLEAR * length[order[1]]:
        return None
    return words[order[0]][int(moved[order[0]] > 0)]


def steps(instructions: Sequence[str]) -> list[tuple[int, str]]:
    """First tick and text of each step of an episode with instructions by tick."""
    changes = [
        0,
        *(k for k in range(1, len(instructions)) if instructions[k] != instructions[k - 1]),
    ]
    return [(k, instructions[k]) for k in changes if instructions[k].strip()]
