"""What the expert did: the episodes a policy learns from.

Now and then the expert misjudges the target's course for a moment and mends it afterwards. A slip
is nothing to imitate, but it shows how to go on from one, and from actions that what is seen
contradicts: behind a delay a policy is committed to such. Axes: E episode, tick; states as in the
body's state space, actions pan, tilt.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from takt.embodiments.track.spec import SPEC
from takt.seeds import Split, require_split
from takt.simulation.track.expert import Expert
from takt.simulation.track.pointer import step
from takt.simulation.track.scenario import TICKS, draw

SLIPS_PER_S = 1.0
_SLIP_TICKS = (3, 13)  # as long as an inference may take
_SLIP_RATE = np.array([1.0, 0.3])  # spread of what the target's rate is misjudged by, rad/s


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstrations:
    """E episodes; `slipped` (E, tick) marks actions that are nothing to imitate."""

    states: np.ndarray
    actions: np.ndarray
    slipped: np.ndarray


def demonstrate(
    seeds: Sequence[int], split: Split, *, slips: bool = True, ticks: int = TICKS
) -> Demonstrations:
    """Let the expert play the episodes of consecutive `seeds`.

    Raises:
        SeedError: a seed is not of `split`.
    """
    require_split(seeds[0], len(seeds), split)
    scene = draw(seeds, ticks)
    rng = np.random.default_rng((seeds[0], len(seeds), 1))
    misjudged, slipped = _slips(rng, scene.count, ticks, slips * SLIPS_PER_S)
    expert, place, rate = Expert(rng), scene.start.copy(), np.zeros_like(scene.start)
    states, actions = np.empty((scene.count, ticks, 8)), np.empty((scene.count, ticks, 2))
    for tick in range(ticks):
        target, target_rate = scene.target[:, tick], scene.target_rate[:, tick]
        off, off_rate = misjudged[:, tick, 0], misjudged[:, tick, 1]
        told = expert.act(place, rate, target + off, target_rate + off_rate)
        states[:, tick] = np.concatenate([place, rate, target, target_rate], axis=1)
        actions[:, tick] = told
        place, rate = step(place, rate, told + scene.push[:, tick])
    return Demonstrations(
        states=states.astype(np.float32), actions=actions.astype(np.float32), slipped=slipped
    )


def _slips(
    rng: np.random.Generator, episodes: int, ticks: int, per_s: float
) -> tuple[np.ndarray, np.ndarray]:
    """(E, tick, 2, 2) by what place and rate of the target are misjudged; (E, tick) whether."""
    begins = rng.random((episodes, ticks)) < per_s * SPEC.dt
    left, off = np.zeros(episodes, int), np.zeros((episodes, 2))
    off_rate = np.zeros((episodes, 2))
    misjudged, slipped = np.zeros((episodes, ticks, 2, 2)), np.zeros((episodes, ticks), bool)
    for tick in range(ticks):
        fresh = begins[:, tick] & (left == 0)
        left = np.where(fresh, rng.integers(*_SLIP_TICKS, episodes), np.maximum(left - 1, 0))
        drawn = rng.normal(0, 1, (episodes, 2)) * _SLIP_RATE
        off_rate = np.where(fresh[:, None], drawn, off_rate) * (left > 0)[:, None]
        off = np.where(fresh[:, None] | (left == 0)[:, None], 0, off + off_rate * SPEC.dt)
        misjudged[:, tick, 0], misjudged[:, tick, 1] = off, off_rate
        slipped[:, tick] = left > 0
    return misjudged, slipped
