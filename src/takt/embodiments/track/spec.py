"""Axes and limits of the pointer, and what it sees: everything in radians."""

import numpy as np

from takt.types import ActionSpace, EmbodimentSpec, StateSpace

RATE_HZ = 30.0
LIMIT_RAD = 1.2

SPEC = EmbodimentSpec(
    name="track",
    rate_hz=RATE_HZ,
    cameras=(),
    action_space=ActionSpace(
        names=("pan", "tilt"),
        units=("rad", "rad"),
        low=np.full(2, -LIMIT_RAD, np.float32),
        high=np.full(2, LIMIT_RAD, np.float32),
    ),
    slots=(0, 1),
    relative=(False, False),  # the policy of this body makes them relative itself
    instruction="Stay on the target; do not touch the obstacle.",
    state_space=StateSpace(
        names=(
            *("pan", "tilt", "pan_rate", "tilt_rate"),
            *("target_pan", "target_tilt", "target_pan_rate", "target_tilt_rate"),
        ),
        slots=tuple(range(8)),
    ),
)
