"""One cycle of the station: its body, its named outcomes, its record."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from takt.benchmarks.motion import Motion
from takt.embodiments.nut_station.cycle import CYCLE_CUT_S, SIDES, Outcome
from takt.types import Embodiment, Seconds


class CycleBody(Embodiment, Protocol):
    """A body that works in seeded cycles and judges its own work."""

    def reset(self, seed: int) -> None:
        """A fresh part, fresh nuts, everything random drawn from `seed`."""

    @property
    def outcomes(self) -> Mapping[str, Outcome | None]:
        """By side; None while undecided."""
        ...

    @property
    def finished(self) -> bool:
        """Both sides are decided, or the cycle was cut."""
        ...

    def finish(self) -> Mapping[str, Outcome]:
        """Name the outcome of every side that is still undecided."""
        ...

    @property
    def cycle_s(self) -> Seconds:
        """Simulated seconds since reset plus the station's own constant."""
        ...

    def render(self, camera: str, height: int, width: int) -> np.ndarray:
        """(height, width, 3) uint8 RGB of the present scene."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleRecord:
    """Everything that is kept of a cycle; `actions` (tick, action) float32 replay it exactly.

    `chunk` (tick,) numbers the plan behind each action, -1 where the last one was held.
    `compute_ms` holds the measured compute time of each inference; `interventions` counts what the
    safety governor changed, by cause.
    """

    cycle: int
    seed: int
    outcomes: Mapping[str, Outcome]
    cycle_s: Seconds
    motion: Motion
    compute_ms: np.ndarray
    interventions: Mapping[str, int]
    actions: np.ndarray
    chunk: np.ndarray

    @property
    def good(self) -> bool:
        """Both nuts are installed."""
        return all(self.outcomes[side] == "installed" for side in SIDES)

    @property
    def cut(self) -> bool:
        """The cycle was ended by the clock."""
        return self.cycle_s >= CYCLE_CUT_S - 1e-6
