"""A scripted expert: follows the target's pan and keeps to a lane over or under the obstacle.

Which lane is a coin's choice on every approach, so the same state has two good ways on; it is kept
until the obstacle is left. Axes: E episode; the last axis is pan, tilt.
"""

from dataclasses import dataclass, field

import numpy as np

from takt.embodiments.track.spec import LIMIT_RAD, SPEC
from takt.simulation.track.pointer import OBSTACLE_RAD, told_for

LANE_RAD = OBSTACLE_RAD + 0.12
"""Tilt of the lanes."""
FULL_RAD, FREE_RAD = 0.26, 0.52
"""Within so much pan of the obstacle the lane is kept; beyond so much nothing is felt of it."""
DECISION_RAD = 0.58
"""Pan at which the coin is tossed."""
_STIFFNESS, _DAMPING = 64.0, 16.0  # critically damped at 8 rad/s
_ACCELERATION = 25.0  # rad/s^2


@dataclass(slots=True)
class Expert:
    """E experts side by side."""

    rng: np.random.Generator
    side: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """(E,) -1 under, 1 over, 0 undecided."""

    def act(
        self, place: np.ndarray, rate: np.ndarray, target: np.ndarray, target_rate: np.ndarray
    ) -> np.ndarray:
        """(E, 2) to tell the pointer, from (E, 2) each."""
        self._decide(place, rate)
        lane, slope = _lane(place[:, 0])
        free = 1 - lane
        lift = self.side * LANE_RAD - target[:, 1]
        goal = np.stack([target[:, 0], target[:, 1] + lane * lift], axis=1)
        climb = free * target_rate[:, 1] + slope * rate[:, 0] * lift
        goal_rate = np.stack([target_rate[:, 0], climb], axis=1)
        wanted = _STIFFNESS * (goal - place) + _DAMPING * (goal_rate - rate)
        wanted = np.clip(wanted, -_ACCELERATION, _ACCELERATION)
        told = told_for(place, rate, rate + wanted * SPEC.dt)
        return np.clip(told, -LIMIT_RAD, LIMIT_RAD)

    def _decide(self, place: np.ndarray, rate: np.ndarray) -> None:
        if len(self.side) != len(place):
            self.side = np.zeros(len(place))
        inside = np.abs(place[:, 0]) < DECISION_RAD
        # who is thrown into a lane's way stays on that side
        ahead = place[:, 1] + 0.1 * rate[:, 1]
        coin = np.where(self.rng.random(len(place)) < 0.5, -1.0, 1.0)
        lane, _ = _lane(place[:, 0])
        forced = np.abs(ahead) > 0.15
        chosen = np.where((lane > 0.2) & forced, np.sign(ahead), coin)
        self.side = np.where(inside, np.where(self.side == 0, chosen, self.side), 0.0)


def _lane(pan: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far a lane is entered at `pan`, 0 to 1, and its slope per rad."""
    share = np.clip((FREE_RAD - np.abs(pan)) / (FREE_RAD - FULL_RAD), 0, 1)
    slope = -np.sign(pan) * 6 * share * (1 - share) / (FREE_RAD - FULL_RAD)
    return share**2 * (3 - 2 * share), slope
