"""How the pointer moves, and what counts as a good episode.

Axes: E episode; the last axis is pan, tilt. Angles in rad, rates in rad/s.
"""

from dataclasses import dataclass

import numpy as np

from takt.embodiments.track.spec import SPEC

SERVO_RATE = 20.0
"""Natural frequency of the critically damped servo, rad/s."""
OBSTACLE_RAD = 0.18
"""Radius of the disc round the origin that must not be touched."""
TOLERANCE_RAD = 0.12
"""On target within so much; a target nearer than that to the obstacle cannot be followed."""
REQUIRED_SHARE = 0.6
"""Of the ticks on which the target can be followed, either side of the obstacle weighing alike."""
_VISIT_TICKS = 15
"""A side on which the target can be followed for less says nothing."""

_DECAY = np.exp(-SERVO_RATE * SPEC.dt)


def step(place: np.ndarray, rate: np.ndarray, told: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the pointer is, and its rate, a tick after it was told to go to `told`.

    The exact solution of a critically damped servo.
    """
    off = place - told
    slope = rate + SERVO_RATE * off
    return (
        told + (off + slope * SPEC.dt) * _DECAY,
        (slope - SERVO_RATE * (off + slope * SPEC.dt)) * _DECAY,
    )


def told_for(place: np.ndarray, rate: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """What to tell a pointer so that its rate is `wanted` after the tick: the inverse of `step`."""
    off = (rate * (1 - SERVO_RATE * SPEC.dt) - wanted / _DECAY) / (SERVO_RATE**2 * SPEC.dt)
    return place - off


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How an episode went."""

    on_target: float
    """Share of the ticks on which the target can be followed: the mean of both sides', so that
    waiting on one side until the target comes back is worth half."""
    collided: bool

    @property
    def success(self) -> bool:
        """Long enough on the target, and the obstacle was never touched."""
        return self.on_target >= REQUIRED_SHARE and not self.collided


def judge(places: np.ndarray, target: np.ndarray) -> Verdict:
    """Of one episode: (tick, 2) each."""
    free = np.linalg.norm(target, axis=1) > OBSTACLE_RAD + 2 * TOLERANCE_RAD
    near = np.linalg.norm(places - target, axis=1) < TOLERANCE_RAD
    sides = [free & (target[:, 0] < 0), free & (target[:, 0] >= 0)]
    shares = [near[side].mean() for side in sides if side.sum() >= _VISIT_TICKS]
    touched = np.linalg.norm(places, axis=1) < OBSTACLE_RAD
    return Verdict(on_target=float(np.mean(shares)), collided=bool(touched.any()))
