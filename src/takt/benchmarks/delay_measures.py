"""What one episode of the delay benchmark shows beside success and motion."""

import numpy as np

from takt.embodiments.track.spec import SPEC
from takt.runtime.trace import Trace
from takt.simulation.track.pointer import TOLERANCE_RAD

LONGEST_REACTION = 60
"""Ticks; a perturbation so near to the episode's end is left out."""
PERIODS = range(6, 46)
"""Ticks of a repeated motion: 0.2 to 1.5 s."""
_REPEATS, _SMALLEST_RAD, _SAMENESS = 3, 0.04, 0.15


def reactions(trace: Trace, perturbations: np.ndarray, *, corrected: bool) -> list[int]:
    """Ticks from each perturbation's first frame to the first action inferred from it.

    A plan's observation is as old as its action says; a corrected action has its own tick's.
    """
    ticks = np.arange(len(trace.actions))
    age = np.zeros(len(ticks)) if corrected else trace.age_s / SPEC.dt
    seen = np.where(trace.held, -1.0, ticks - age)
    found = []
    for tick in perturbations:
        if tick + LONGEST_REACTION >= len(ticks):
            continue
        informed = np.flatnonzero(seen[tick:] > tick - 0.5)
        found.append(int(informed[0]) if len(informed) else LONGEST_REACTION)
    return found


def has_loop(places: np.ndarray, target: np.ndarray) -> bool:
    """Whether the pointer repeats a motion for nothing: three times the same, off the target.

    Args:
        places: (tick, 2) of the pointer.
        target: (tick, 2).
    """
    off = np.linalg.norm(places - target, axis=1) > TOLERANCE_RAD
    for period in PERIODS:
        window = (_REPEATS - 1) * period
        if len(places) <= window + period:
            break
        change = np.linalg.norm(places[period:] - places[:-period], axis=1)
        worst = _windows(change, window).max(axis=1)
        length = window + period
        stretch = _windows(places[:, 0], length), _windows(places[:, 1], length)
        size = np.hypot(*(np.ptp(axis, axis=1) for axis in stretch))
        lost = _windows(off.astype(float), length).mean(axis=1) > 0.5
        count = min(len(worst), len(size))
        same = worst[:count] < _SAMENESS * size[:count]
        if (same & (size[:count] > _SMALLEST_RAD) & lost[:count]).any():
            return True
    return False


def _windows(values: np.ndarray, length: int) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(values, length)
