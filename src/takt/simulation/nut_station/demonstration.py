"""Demonstrations: what is stored is the expert's plan, whatever was executed.

Each tick holds the actions the expert would take from there on if nothing disturbed it, found on a
copy of the simulation: the sequence of its actions along a disturbed execution would teach the
disturbance too. Executing expert + AR(1) noise shows the policy how to come back (nano-training
reference, section 2); executing the policy's own actions does so where it goes wrong.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32

from takt.embodiments.nut_station.cycle import Outcome
from takt.embodiments.nut_station.spec import SPEC
from takt.simulation.nut_station.annotation import POINTS_KEY, project_points
from takt.simulation.nut_station.expert import ScriptedExpert
from takt.simulation.nut_station.station import NutStation
from takt.types import EmbodimentSpec, Episode, Observation

NOISE_PERSISTENCE = 0.85
NOISE_LEVELS = (0.0, 0.5, 1.0)  # one per episode, at random
# Standard deviation per arm axis (rad, then m of jaw gap): about 3 mm at the tip, 1.5 degrees of
# tool yaw. Twice as much and the expert itself fails half the time.
NOISE_STD = np.array([0.006, 0.006, 0.006, 0.006, 0.006, 0.025, 0.0] * 2)
LONGEST_S = 20.0
PLAN_KEY = "annotation.plan"  # (PLAN_TICKS, action) row by row
PLAN_TICKS = 16
PLAN_EVERY = 2  # ticks; looking ahead costs more than rendering. Other ticks hold zeros.
SEED_KEY = "annotation.seed"  # exact in float32: training seeds stay below 100000


class LabelledStation:
    """The station as a body that remembers every tick with what the expert would have done."""

    def __init__(self, station: NutStation, seed: int) -> None:
        self._station, self._seed = station, seed
        station.reset(seed)
        self._expert = ScriptedExpert(station)
        self._observations: list[Observation] = []
        self._labels: list[np.ndarray] = []
        self._plans: list[np.ndarray] = []
        self._points: list[np.ndarray] = []
        self._sense()

    @property
    def spec(self) -> EmbodimentSpec:
        """Fixed facts of the body."""
        return SPEC

    @property
    def label(self) -> Float32[np.ndarray, " action"]:
        """What the expert would do now."""
        return self._labels[-1]

    @property
    def outcomes(self) -> Mapping[str, Outcome | None]:
        """Outcome per side so far."""
        return self._station.outcomes

    @property
    def over(self) -> bool:
        """Nothing more to learn: both sides decided, one side failed, or `LONGEST_S` passed."""
        failed = any(o not in (None, "installed") for o in self.outcomes.values())
        return self._station.finished or failed or self._station.now >= LONGEST_S

    def observe(self) -> Observation:
        """This tick's observation."""
        return self._observations[-1]

    def act(self, action: Float32[np.ndarray, " action"]) -> None:
        """Execute `action` for one tick, then sense and label the next."""
        self._station.act(action)
        self._sense()

    def stop(self) -> None:
        """Hold still."""
        self._station.stop()

    def episode(self) -> Episode:
        """All ticks but the last, whose action was not executed."""
        seen, plans = self._observations[:-1], np.stack(self._plans[:-1])
        names = [camera.name for camera in SPEC.cameras]
        return Episode(
            embodiment=SPEC.name,
            instruction=SPEC.instruction,
            rate_hz=SPEC.rate_hz,
            stamps=np.array([o.stamp for o in seen]),
            images={name: np.stack([o.images[name] for o in seen]) for name in names},
            image_stamps={name: np.array([o.image_stamps[name] for o in seen]) for name in names},
            state=np.stack([o.state for o in seen]),
            actions=np.stack(self._labels[:-1]),
            extras={
                POINTS_KEY: np.stack(self._points[:-1]),
                PLAN_KEY: plans.reshape(len(plans), -1),
                SEED_KEY: np.full((len(plans), 1), self._seed, np.float32),
            },
        )

    def _sense(self) -> None:
        self._observations.append(self._station.observe())
        self._points.append(project_points(self._station.model, self._station.data))
        if len(self._plans) % PLAN_EVERY == 0:
            plan = self._expert.plan(PLAN_TICKS)
            label = plan[0]
        else:
            label = self._expert.action()
            plan = np.zeros((PLAN_TICKS, len(label)), np.float32)
        self._labels.append(label)
        self._plans.append(plan)


def demonstrate(station: NutStation, seed: int) -> Episode | None:
    """Demonstrate the cycle of `seed`; None when the disturbed expert did not install both nuts."""
    labelled = LabelledStation(station, seed)
    rng = np.random.default_rng([seed, 2])
    level = rng.choice(NOISE_LEVELS)
    noise = np.zeros(len(NOISE_STD))
    while not labelled.over:
        kick = np.sqrt(1 - NOISE_PERSISTENCE**2) * rng.normal(size=len(noise))
        noise = NOISE_PERSISTENCE * noise + kick
        labelled.act((labelled.label + level * NOISE_STD * noise).astype(np.float32))
    if any(outcome != "installed" for outcome in labelled.outcomes.values()):
        return None
    return labelled.episode()
