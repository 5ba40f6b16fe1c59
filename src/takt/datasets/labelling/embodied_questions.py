"""Questions about a robot's frame that its own trajectory answers (paper section 2.1)."""

from dataclasses import dataclass

import numpy as np

from takt.datasets.labelling.axes import Axes
from takt.datasets.labelling.config import LabelConfig
from takt.datasets.labelling.trajectory import (
    direction,
    is_open,
    next_change,
    openness,
    steps,
)
from takt.types import Episode, Turn

_BASE = "Forward is away from the robot's base, left is its left."


@dataclass(frozen=True, slots=True)
class StateRange:
    """Smallest and largest value of each axis of the state over the dataset, both (axis,)."""

    low: np.ndarray
    high: np.ndarray


class EmbodiedQuestions:
    """Asks about any tick of one episode."""

    def __init__(
        self, episode: Episode, axes: Axes, ranges: StateRange, config: LabelConfig
    ) -> None:
        self._episode, self._axes, self._ranges = episode, axes, ranges
        self._ahead = max(1, round(config.horizon_s * episode.rate_hz))
        self._ahead_s = f"{config.horizon_s:g} s"
        self._directions = config.directions
        texts = episode.instructions or (episode.instruction,) * len(episode.stamps)
        self._texts, self._steps = texts, steps(texts)
        found = {
            name: openness(
                episode.state[:, axis], ranges.low[axis], ranges.high[axis], config.gripper_open
            )
            for name, axis in axes.grippers.items()
        }
        self._openness = {name: share for name, share in found.items() if share is not None}

    def at(self, tick: int) -> list[Turn]:
        """What can be asked at `tick`."""
        turns = [*self._grippers(tick), *self._hands(tick)]
        if instruction := self._texts[tick].strip():
            turns.append(Turn("What is the robot asked to do here?", instruction))
        if len(left := self._left(tick)) > 1:
            turns.append(Turn("What does the robot do next, after what it does now?", left[1]))
        return turns

    def plan(self, tick: int) -> Turn | None:
        """The steps from `tick` on, where the episode is divided into some."""
        left = self._left(tick)
        if len(left) < 2:
            return None
        listed = "\n".join(f"{number}. {text}" for number, text in enumerate(left, 1))
        return Turn("List the steps that the robot takes from here on.", listed)

    def _left(self, tick: int) -> list[str]:
        """Texts of the step at `tick` and of those behind it."""
        starts = [start for start, _ in self._steps]
        first = max(0, int(np.searchsorted(starts, tick, side="right")) - 1)
        return [text for _, text in self._steps[first:]]

    def _grippers(self, tick: int) -> list[Turn]:
        turns: list[Turn] = []
        for name, share in self._openness.items():
            now, change = is_open(float(share[tick])), next_change(share, tick)
            if now is None:
                continue
            turns.append(Turn(f"Is the {name} open?", "yes" if now else "no"))
            if change is not None:
                next_one = "It opens." if change else "It closes."
                turns.append(Turn(f"What does the {name} do next, open or close?", next_one))
        return turns

    def _hands(self, tick: int) -> list[Turn]:
        turns: list[Turn] = []
        if self._directions is None or tick + self._ahead >= len(self._episode.stamps):
            return turns
        for name, found in self._axes.hands.items():
            places = list(found)
            path = self._episode.state[:, places]
            span = float((self._ranges.high[places] - self._ranges.low[places]).max())
            way = direction(path[tick + self._ahead] - path[tick], span, self._directions)
            if way is not None and span > 0:
                asked = f"Which way does the {name} move over the next {self._ahead_s}? {_BASE}"
                turns.append(Turn(asked, way or "It stays where it is."))
        return turns
