"""The station's left half as a body; the scripted expert works the right one."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float32

from takt.embodiments.nut_station.cycle import Outcome
from takt.embodiments.nut_station.one_side import AXES, LEFT_SPEC, SIDE
from takt.simulation.nut_station.expert import ScriptedExpert
from takt.simulation.nut_station.station import NutStation
from takt.types import EmbodimentSpec, Observation, Seconds

CUT_S: Seconds = 20.0  # the expert takes 7 s; what has not been installed by then counts as timeout


class OneSide:
    """One nut, one pin, one arm. One `act` is one control tick."""

    def __init__(self) -> None:
        self._station = NutStation(cameras=LEFT_SPEC.cameras)
        self._expert = ScriptedExpert(self._station)

    @property
    def spec(self) -> EmbodimentSpec:
        """Fixed facts of the body."""
        return LEFT_SPEC

    def reset(self, seed: int) -> None:
        """Draw the same scene as the whole station's of that seed."""
        self._station.reset(seed)
        self._expert.reset(seed)

    def observe(self) -> Observation:
        """Ego and left wrist images, the left arm's joints."""
        seen = self._station.observe()
        return replace(seen, state=seen.state[:AXES], instruction=LEFT_SPEC.instruction)

    def act(self, action: Float32[np.ndarray, " action"]) -> None:
        """The left arm's targets for one tick."""
        self._station.act(np.concatenate([action, self._expert.action()[AXES:]]))

    def stop(self) -> None:
        """Hold the measured pose."""
        self._station.stop()

    @property
    def finished(self) -> bool:
        """The side is decided, or time is up."""
        return self._station.outcomes[SIDE] is not None or self._station.now >= CUT_S

    def finish(self) -> Outcome:
        """The outcome, named if it was still open."""
        return self._station.finish()[SIDE]
