"""One expert demonstration with disturbed execution: the stored action is the expert's, the executed one is not.

Executing expert + AR(1) noise while labelling with the clean action shows the policy how to come back
(reference nano-training.md section 2).
"""

import numpy as np

from takt.embodiments.nut_station.spec import SPEC
from takt.simulation.nut_station.annotation import POINTS_KEY, project_points
from takt.simulation.nut_station.expert import ScriptedExpert
from takt.simulation.nut_station.station import NutStation
from takt.types import Episode, Observation

NOISE_PERSISTENCE = 0.85
NOISE_LEVELS = (0.0, 0.5, 1.0)  # one per episode, at random
# Standard deviation per arm axis (rad, then m of jaw gap): about 3 mm at the tip, 1.5 degrees of tool yaw. Twice as
# much and the expert itself fails half the time.
NOISE_STD = np.array([0.006, 0.006, 0.006, 0.006, 0.006, 0.025, 0.0] * 2)
LONGEST_S = 20.0
SEED_KEY = "annotation.seed"  # exact in float32: training seeds stay below 100000


def demonstrate(station: NutStation, seed: int) -> Episode | None:
    """Demonstrate the cycle of `seed`; None when the disturbed expert did not install both nuts."""
    station.reset(seed)
    expert = ScriptedExpert(station)
    rng = np.random.default_rng([seed, 2])
    level = rng.choice(NOISE_LEVELS)
    noise = np.zeros(len(NOISE_STD))
    observations: list[Observation] = []
    actions: list[np.ndarray] = []
    points: list[np.ndarray] = []
    while not station.finished and station.now < LONGEST_S:
        observations.append(station.observe())
        points.append(project_points(station.model, station.data))
        actions.append(expert.action())
        kick = np.sqrt(1 - NOISE_PERSISTENCE**2) * rng.normal(size=len(noise))
        noise = NOISE_PERSISTENCE * noise + kick
        station.act((actions[-1] + level * NOISE_STD * noise).astype(np.float32))
    if any(outcome != "installed" for outcome in station.finish().values()):
        return None
    return _episode(observations, actions, points, seed)


def _episode(
    observations: list[Observation], actions: list[np.ndarray], points: list[np.ndarray], seed: int
) -> Episode:
    names = [camera.name for camera in SPEC.cameras]
    return Episode(
        embodiment=SPEC.name,
        instruction=SPEC.instruction,
        rate_hz=SPEC.rate_hz,
        stamps=np.array([o.stamp for o in observations]),
        images={name: np.stack([o.images[name] for o in observations]) for name in names},
        image_stamps={
            name: np.array([o.image_stamps[name] for o in observations]) for name in names
        },
        state=np.stack([o.state for o in observations]),
        actions=np.stack(actions),
        extras={
            POINTS_KEY: np.stack(points),
            SEED_KEY: np.full((len(actions), 1), seed, np.float32),
        },
    )
