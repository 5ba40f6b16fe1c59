"""What one episode of the delay benchmark shows beside success and motion."""

import numpy as np

from takt.benchmarks.motion import sources
from takt.embodiments.track.spec import SPEC
from takt.runtime.trace import Trace
from takt.simulation.track.pointer import TOLERANCE_RAD

LONGEST_REACTION = 60
"""Ticks; a perturbation so near to the episode's end is left out."""
PERIODS = range(6, 46)
"""Ticks of a repeated motion: 0.2 to 1.5 s."""
_REPEATS, _SMALLEST_RAD, _SAMENESS = 3, 0.04, 0.15


def reactions(
    trace: Trace, perturbations: np.ndarray, *, corrected: bool = False, committed: int = 0
) -> list[int]:
    """Ticks from each perturbation's first frame to the first action inferred from it.

    It says when a strategy could answer, not whether it did. A plan's first `committed` actions
    were promised before it was made and are no answer. A corrected action has its own tick's
    observation; an average that of its newest plan.
    """
    ticks = np.arange(len(trace.actions))
    captured = ticks - (0 if corrected else trace.age_s / SPEC.dt)
    of = dict(zip(trace.chunk.tolist(), captured, strict=True))
    decided = captured if corrected else [of[plan] for plan in sources(trace, committed).tolist()]
    seen = np.where(trace.held, -1.0, decided)
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
        if len(places) < window + period:
            break
        change = np.linalg.norm(places[period:] - places[:-period], axis=1)
        worst = _windows(change, window).max(axis=1)
        length = window + period
        stretch = _windows(places[:, 0], length), _windows(places[:, 1], length)
        size = np.hypot(*(np.ptp(axis, axis=1) for axis in stretch))
        lost = _windows(off.astype(float), length).mean(axis=1) > 0.5
        if ((worst < _SAMENESS * size) & (size > _SMALLEST_RAD) & lost).any():
            return True
    return False


def _windows(values: np.ndarray, length: int) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(values, length)
