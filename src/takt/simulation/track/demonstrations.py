"""What the expert did: the episodes a policy learns from.

Axes: E episode, tick; states as in the body's state space, actions pan, tilt.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from takt.seeds import Split, require_split
from takt.simulation.track.expert import Expert
from takt.simulation.track.pointer import step
from takt.simulation.track.scenario import TICKS, draw

KICKS_PER_S = 0.5
_KICK_RAD, _KICK_RATE = 0.05, 0.3  # spreads of a kick: a policy must know the way back


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstrations:
    """E episodes; `kicked` marks ticks before which chance moved the pointer."""

    states: np.ndarray
    actions: np.ndarray
    kicked: np.ndarray


def demonstrate(
    seeds: Sequence[int], split: Split, *, kicks: bool = True, ticks: int = TICKS
) -> Demonstrations:
    """Let the expert play the episodes of consecutive `seeds`.

    Raises:
        SeedError: a seed is not of `split`.
    """
    require_split(seeds[0], len(seeds), split)
    scene = draw(seeds, ticks)
    rng = np.random.default_rng((seeds[0], len(seeds), 1))
    expert, place, rate = Expert(rng), scene.start.copy(), np.zeros_like(scene.start)
    states, actions = np.empty((scene.count, ticks, 8)), np.empty((scene.count, ticks, 2))
    kicked = rng.random((scene.count, ticks)) < kicks * KICKS_PER_S / 30
    for tick in range(ticks):
        struck = kicked[:, tick, None]
        place = place + struck * rng.normal(0, _KICK_RAD, place.shape)
        rate = rate + struck * rng.normal(0, _KICK_RATE, rate.shape)
        target, target_rate = scene.target[:, tick], scene.target_rate[:, tick]
        told = expert.act(place, rate, target, target_rate)
        states[:, tick] = np.concatenate([place, rate, target, target_rate], axis=1)
        actions[:, tick] = told
        place, rate = step(place, rate, told + scene.push[:, tick])
    return Demonstrations(
        states=states.astype(np.float32), actions=actions.astype(np.float32), kicked=kicked
    )
