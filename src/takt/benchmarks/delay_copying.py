"""How far late actions follow the prefix when what is seen contradicts it.

A plan is made; the pointer goes along with it for T_e ticks; then the target is seen to have turned
round. Planned again behind the committed actions, and again as if nothing were promised, the late
actions may differ: `following` is the share of the way back to what the policy would do had the
target not turned. 0 follows what is seen, 1 copies the prefix. The noise is the same throughout.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from takt.embodiments.track.spec import SPEC
from takt.simulation.track.demonstrations import demonstrate
from takt.simulation.track.pointer import step
from takt.types import ActionChunk, Observation

if TYPE_CHECKING:
    from takt.policies.track.policy import TrackPlanner

CASES = 96
AFTER, LATE = 8, 12
"""Late actions are the `LATE` ones that begin `AFTER` steps behind the prefix."""
_FREE_RAD = 0.6  # of pan: nothing but the target matters there


def following(planner: "TrackPlanner", committed: int, execute: int, first_seed: int) -> float:
    """The share, over states of the validation seeds from `first_seed` on.

    Args:
        planner: With the sampler of its strategy.
        committed: Actions of the prefix, at least 1.
        execute: T_e.
        first_seed: Of the demonstrations whose states are used.
    """
    before = _states(first_seed)
    first = _plans(planner, before, 0.0, [None] * len(before), None)
    later = [_later(state, plan, execute) for state, plan in zip(before, first, strict=True)]
    turned = [_turned(state) for state in later]
    now = execute * SPEC.dt
    promised = [
        replace(plan, stamp=now, actions=plan.actions[execute : execute + committed])
        for plan in first
    ]
    kept = _plans(planner, later, now, promised, first)
    bound = _plans(planner, turned, now, promised, first)
    free = _plans(planner, turned, now, [None] * len(turned), None)
    rows = slice(committed + AFTER, committed + AFTER + LATE)
    kept, bound, free = (np.stack([plan.actions[rows] for plan in p]) for p in (kept, bound, free))
    return float(((bound - free) * (kept - free)).sum() / ((kept - free) ** 2).sum())


def _states(first_seed: int) -> list[np.ndarray]:
    """(state,) each: on the way, before the obstacle is felt."""
    seeds = range(first_seed, first_seed + CASES)
    played = demonstrate(seeds, "validation", slips=False)
    found = []
    for states in played.states:
        pan = np.abs(states[:, 4])
        steady = np.abs(states[:, 6] - states[:, 2]) < 0.1
        ticks = np.flatnonzero((pan > _FREE_RAD) & (pan < 0.8) & steady)
        if len(ticks):
            found.append(states[ticks[len(ticks) // 2]])
    return found


def _plans(
    planner: "TrackPlanner",
    states: Sequence[np.ndarray],
    stamp: float,
    promised: Sequence[ActionChunk | None],
    last: Sequence[ActionChunk] | None,
) -> list[ActionChunk]:
    from takt.policies.track.policy import Job

    jobs = []
    for number, (state, committed) in enumerate(zip(states, promised, strict=True)):
        memory = planner.begin(number)
        memory.last = None if last is None else last[number]
        seen = Observation(
            stamp=stamp, images={}, image_stamps={}, state=state, instruction=SPEC.instruction
        )
        jobs.append(Job(memory, seen, committed))
    return planner.plan(jobs)


def _later(state: np.ndarray, plan: ActionChunk, ticks: int) -> np.ndarray:
    """What is seen when `ticks` of the plan were executed and the target went on."""
    place, rate = state[:2].astype(np.float64), state[2:4].astype(np.float64)
    for action in plan.actions[:ticks]:
        place, rate = step(place, rate, action)
    target = state[4:6] + ticks * SPEC.dt * state[6:]
    return np.concatenate([place, rate, target, state[6:]]).astype(np.float32)


def _turned(state: np.ndarray) -> np.ndarray:
    """The same with a target that has just turned round."""
    return np.concatenate([state[:6], [-state[6]], state[7:]]).astype(np.float32)
