"""What happens in an episode whatever the pointer does: the target's way and the disturbance.

Axes: E episode, tick; the last axis is pan, tilt. Angles in rad, rates in rad/s.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from takt.embodiments.track.spec import SPEC

TICKS = 300
"""Ten seconds."""
TURN_RAD = 0.9
"""The target turns back here."""
SPEEDS = (0.5, 0.9)
"""The target's pan rate, drawn anew at every turn."""
REVERSALS_PER_S = 0.25
"""Turns that nothing announces: the perturbations."""
SETTLED_S = 0.7
"""After a turn the target goes on for so long at least."""
_WOBBLE_RATE, _WOBBLE_RAD = 2.0, 0.06  # of the target's tilt: natural frequency and spread
_PUSH_S, _PUSH_RAD = 0.3, 0.01  # of the disturbance: how long it lasts and its spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenarios:
    """E episodes side by side.

    Attributes:
        target: (E, tick, 2) where the target is when the tick begins.
        target_rate: (E, tick, 2).
        reversed: (E, tick), True on the first tick whose target runs the other way unannounced.
        push: (E, tick, 2) added to what the pointer is told.
        start: (E, 2) where the pointer stands first.
    """

    target: np.ndarray
    target_rate: np.ndarray
    reversed: np.ndarray
    push: np.ndarray
    start: np.ndarray

    @property
    def count(self) -> int:
        """E."""
        return len(self.target)


def draw(seeds: Sequence[int], ticks: int = TICKS) -> Scenarios:
    """The episodes of `seeds`, each by its own alone."""
    chance = [np.random.default_rng(seed) for seed in seeds]
    pan, pan_rate, turned = _pan(np.stack([rng.random((ticks, 2)) for rng in chance]))
    tilt, tilt_rate = _tilt(np.stack([rng.standard_normal(ticks) for rng in chance]))
    push = _push(np.stack([rng.standard_normal((ticks, 2)) for rng in chance]))
    target = np.stack([pan, tilt], axis=-1)
    return Scenarios(
        target=target,
        target_rate=np.stack([pan_rate, tilt_rate], axis=-1),
        reversed=turned,
        push=push,
        start=target[:, 0],
    )


def _pan(uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Position, rate and unannounced turns, (E, tick) each, from (E, tick, 2) draws."""
    episodes, ticks = uniform.shape[:2]
    dt, low, high = SPEC.dt, *SPEEDS
    speeds = low + (high - low) * uniform[..., 1]
    side = np.where(uniform[:, 0, 0] < 0.5, -1.0, 1.0)
    place, rate = side * TURN_RAD, -side * speeds[:, 0]
    since = np.zeros(episodes)
    places, rates = np.empty((episodes, ticks)), np.empty((episodes, ticks))
    turned = np.zeros((episodes, ticks), bool)
    for tick in range(ticks):
        outward = (np.abs(place) >= TURN_RAD) & (place * rate > 0)
        surprise = (uniform[:, tick, 0] < REVERSALS_PER_S * dt) & (since > SETTLED_S) & ~outward
        turned[:, tick] = surprise
        turns = outward | surprise
        rate = np.where(turns, -np.sign(rate) * speeds[:, tick], rate)
        since = np.where(turns, 0.0, since + dt)
        places[:, tick], rates[:, tick] = place, rate
        place = place + rate * dt
    return places, rates, turned


def _tilt(normal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Position and rate, (E, tick) each: a damped oscillator that noise keeps going."""
    dt, omega = SPEC.dt, _WOBBLE_RATE
    strength = _WOBBLE_RAD * 2 * omega**1.5 / np.sqrt(dt)  # variance of white noise / (4 omega^3)
    place, rate = np.zeros(len(normal)), np.zeros(len(normal))
    places, rates = np.empty_like(normal), np.empty_like(normal)
    for tick in range(normal.shape[1]):
        places[:, tick], rates[:, tick] = place, rate
        rate = rate + dt * (strength * normal[:, tick] - omega**2 * place - 2 * omega * rate)
        place = place + dt * rate
    return places, rates


def _push(normal: np.ndarray) -> np.ndarray:
    """(E, tick, 2) of slowly changing error."""
    keep = np.exp(-SPEC.dt / _PUSH_S)
    push, pushes = _PUSH_RAD * normal[:, 0], np.empty_like(normal)
    for tick in range(normal.shape[1]):
        pushes[:, tick] = push
        push = keep * push + np.sqrt(1 - keep**2) * _PUSH_RAD * normal[:, tick]
    return pushes
