"""The pointer as the executor sees it: one episode."""

import numpy as np

from takt.embodiments.track.spec import SPEC
from takt.simulation.track.pointer import Verdict, judge, step
from takt.simulation.track.scenario import Scenarios, draw
from takt.types import EmbodimentSpec, Observation


class TrackBody:
    """Plays the episode of a seed."""

    def __init__(self, seed: int) -> None:
        """Stands on the target; nothing has moved."""
        scene: Scenarios = draw([seed])
        self._target, self._target_rate = scene.target[0], scene.target_rate[0]
        self._push = scene.push[0]
        self.reversals = np.flatnonzero(scene.reversed[0])
        """Ticks on which the target is first seen to run the other way, unannounced."""
        self._place, self._rate = scene.start[0], np.zeros(2)
        self._tick = 0
        self._places: list[np.ndarray] = []

    @property
    def spec(self) -> EmbodimentSpec:
        """Its fixed facts."""
        return SPEC

    @property
    def finished(self) -> bool:
        """Whether the episode is over."""
        return self._tick >= len(self._target)

    @property
    def target(self) -> np.ndarray:
        """(tick, 2) of the whole episode, which nothing that the pointer does can change."""
        return self._target

    @property
    def places(self) -> np.ndarray:
        """(tick, 2) where the pointer was when each tick began."""
        return np.array(self._places)

    def observe(self) -> Observation:
        """Pointer and target, without noise."""
        seen = self._place, self._rate, self._target[self._tick], self._target_rate[self._tick]
        return Observation(
            stamp=self._tick * SPEC.dt,
            images={},
            image_stamps={},
            state=np.concatenate(seen).astype(np.float32),
            instruction=SPEC.instruction,
        )

    def act(self, action: np.ndarray) -> None:
        """Go towards `action` for one tick."""
        self._places.append(self._place)
        told = action + self._push[self._tick]
        self._place, self._rate = step(self._place, self._rate, told)
        self._tick += 1

    def stop(self) -> None:
        """Nothing moves between ticks."""

    def verdict(self) -> Verdict:
        """How the episode went."""
        return judge(self.places, self._target[: len(self._places)])
