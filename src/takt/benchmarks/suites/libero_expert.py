"""A scripted player for libero_object: grasp from above, across the narrowest side, drop in basket.

It reads the simulator's own state, so it proves the adapter and gives demonstrations; it is no
policy. Lengths in metres, world frame, z up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from takt.benchmarks.suites.libero_scene import Simulation
from takt.benchmarks.suites.suite import SuiteError
from takt.types import ActionChunk, EmbodimentSpec, Observation

Phase = Literal["above", "down", "close", "lift", "carry", "open"]

STEP_M, STEP_RAD = 0.05, 0.5  # what an action of 1 commands
GAIN = 1.5  # of the remaining way; the arm goes about a third of a commanded step
OPENING = 0.074  # between the open pads, less a little
YAWS = np.deg2rad(np.arange(0, 180, 3))
SHIFTS = np.array([0.0, -0.015, 0.015])  # from the thing's middle, across the fingers
HAND = (0.105, 0.035)  # half the palm along and across the fingers, with a little room
# What the cost of a grasp, its width in metres, grows by for each radian of turning, metre off the
# middle, metre that something tall reaches under the palm.
TURN_COST, SHIFT_COST, BLOCKED_COST = 0.003, 0.1, 2.0
CLEARANCE = 0.06  # of the pads over the thing, before going down
TIP = 0.016  # the finger tips reach so far below the point between the pads
REACH = 0.032  # and the palm leaves so much room above it
RIM = 0.03  # over the basket's rim, while carrying
NEAR, NEAR_RAD = 0.006, 0.06
LONGEST = {"above": 70, "down": 30, "close": 14, "lift": 40, "carry": 70, "open": 25}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grasp:
    """Where the point between the pads goes, and the horizontal axis from pad to pad."""

    point: np.ndarray
    axis: np.ndarray


def plan_grasp(corners: np.ndarray, fingers: np.ndarray, others: np.ndarray) -> Grasp:
    """From above, across the narrowest side that the hand has room for.

    Of two alike, the one that needs less turning.

    Args:
        corners: (n, 3), of all boxes that the thing is made of.
        fingers: (3,), the present axis from pad to pad.
        others: (m, 3), corners of what stands around it.
    """
    axes = np.stack([np.cos(YAWS), np.sin(YAWS), 0 * YAWS], axis=1)
    across = np.cross([0, 0, 1], axes)
    along, sides = corners @ axes.T, corners @ across.T  # (n, yaw)
    bottom, top = corners[:, 2].min(), corners[:, 2].max()
    height = max((bottom + top) / 2, top - REACH, bottom + TIP)
    middles = axes * _middle(along)[:, None] + across * _middle(sides)[:, None]
    places = middles[:, None] + SHIFTS[:, None] * across[:, None]  # (yaw, shift, 3)
    widths = np.ptp(along, axis=0)
    turns = np.arccos(np.clip(np.abs(axes @ fingers), 0, 1))
    tall = others[others[:, 2] > height + REACH]
    costs = (
        (widths + TURN_COST * turns + (widths > OPENING))[:, None]
        + SHIFT_COST * np.abs(SHIFTS)
        + BLOCKED_COST * _overlap(tall, places, axes, across)
    )
    yaw, shift = np.unravel_index(int(np.argmin(costs)), costs.shape)
    axis = axes[yaw] if axes[yaw] @ fingers >= 0 else -axes[yaw]
    return Grasp(point=np.array([*places[yaw, shift, :2], height]), axis=axis)


def _overlap(
    points: np.ndarray, places: np.ndarray, axes: np.ndarray, across: np.ndarray
) -> np.ndarray:
    """How deep the deepest of `points` lies below a hand at `places`: (yaw, shift), 0 if none."""
    away = points - places[:, :, None]  # (yaw, shift, m, 3)
    lengthwise = HAND[0] - np.abs(np.einsum("ysmk,yk->ysm", away, axes))
    crosswise = HAND[1] - np.abs(np.einsum("ysmk,yk->ysm", away, across))
    return np.minimum(lengthwise, crosswise).max(axis=2, initial=0.0)


class PickAndPlace:
    """Plans of one action, from the state of LIBERO's environment."""

    def __init__(self, env: Simulation, spec: EmbodimentSpec) -> None:
        """Look at the goal only.

        Raises:
            SuiteError: it is not one thing that belongs into the basket.
        """
        goals = env.parsed_problem["goal_state"]
        basket = "basket_1"
        if len(goals) != 1 or list(goals[0][::2]) != ["in", f"{basket}_contain_region"]:
            raise SuiteError(
                f"{spec.instruction!r} has no scripted expert: expected one thing to be put into "
                "the basket, as in every task of --suite object; choose another player"
            )
        self._hand = Hand(env)
        self._thing = Shape(env, goals[0][1])
        self._basket = Shape(env, basket)
        self._others = [Shape(env, name) for name in env.objects_dict if name != goals[0][1]]
        self._dt = spec.dt
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Begin with the approach; there is no randomness."""
        self._grasp: Grasp | None = None
        self._enter("above")

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        """The next action."""
        if self._grasp is None:
            self._grasp = plan_grasp(
                self._thing.corners(),
                self._hand.fingers(),
                np.concatenate([other.corners() for other in self._others]),
            )
        target = self._target(self._grasp)
        way = target - self._hand.place()
        turn = self._hand.turn(self._grasp.axis)
        gripper = 1.0 if self.phase in ("close", "lift", "carry") else -1.0
        action = np.array([*(way / STEP_M), *(turn / STEP_RAD), gripper])
        action[:6] = np.clip(GAIN * action[:6], -1, 1)
        self._steps += 1
        self._advance(way, turn)
        return ActionChunk(
            stamp=observation.stamp, dt=self._dt, actions=action[None].astype(np.float32)
        )

    def _target(self, grasp: Grasp) -> np.ndarray:
        """Where the point between the pads should go now."""
        match self.phase:
            case "above":
                return grasp.point + [0, 0, CLEARANCE]
            case "down" | "close":
                return grasp.point
            case "lift":
                return np.array([*grasp.point[:2], self._carry_height()])
            case "carry" | "open":
                offset = self._hand.place()[:2] - self._thing.middle()[:2]
                over = self._basket.middle()[:2] + (offset if self.phase == "carry" else 0)
                return np.array([*over, self._carry_height()])

    def _carry_height(self) -> float:
        below = self._hand.place()[2] - self._thing.corners()[:, 2].min()
        return float(self._basket.corners()[:, 2].max() + RIM + below)

    def _advance(self, way: np.ndarray, turn: np.ndarray) -> None:
        """To the next phase, once this one's target is reached or has taken too long."""
        late = self._steps >= LONGEST[self.phase]
        there = bool(np.abs(way).max() < NEAR and np.linalg.norm(turn) < NEAR_RAD)
        match self.phase:
            case "above" if there or late:
                self._enter("down")
            case "down" if there or late:
                self._enter("close")
            case "close" if late:
                self._enter("lift")
            case "lift" if there or late:
                self._enter("carry") if self._holds() else self.reset(0)
            case "carry" if there or late:
                self._enter("open")
            case "carry" if not self._holds():
                self.reset(0)
            case "open" if late:
                self.reset(0)

    def _enter(self, phase: Phase) -> None:
        self.phase: Phase = phase
        self._steps = 0

    def _holds(self) -> bool:
        return bool(np.linalg.norm(self._thing.middle() - self._hand.place()) < 0.1)


class Shape:
    """The collision boxes of one of LIBERO's objects."""

    def __init__(self, env: Simulation, name: str) -> None:
        """Find them."""
        model = self._model = env.sim.model._model
        self._env = env
        root = env.obj_body_id[name]
        bodies = [body for body in range(model.nbody) if root in _line(model, body)]
        self._geoms = np.array([g for g in range(model.ngeom) if model.geom_bodyid[g] in bodies])
        self._geoms = self._geoms[model.geom_contype[self._geoms] > 0]

    def corners(self) -> np.ndarray:
        """(8 n, 3)."""
        data = self._env.sim.data._data
        signs = np.stack(np.meshgrid(*[[-1, 1]] * 3), axis=-1).reshape(8, 3)
        box = self._model.geom_aabb[self._geoms]  # (n, 6): centre, half sizes in the geom's frame
        local = box[:, None, :3] + signs[None] * box[:, None, 3:]
        turned = np.einsum("nij,nkj->nki", data.geom_xmat[self._geoms].reshape(-1, 3, 3), local)
        return (turned + data.geom_xpos[self._geoms][:, None]).reshape(-1, 3)

    def middle(self) -> np.ndarray:
        """(3,), of the box around all of it."""
        return _middle(self.corners())


class Hand:
    """The gripper: where it is, and how it must turn."""

    def __init__(self, env: Simulation) -> None:
        """Find its site and its pads."""
        self._env = env
        self._site = env.robots[0].eef_site_id
        names = [f"gripper0_finger{side}_pad_collision" for side in (1, 2)]
        self._pads = [env.sim.model.geom_name2id(name) for name in names]

    def place(self) -> np.ndarray:
        """(3,), the point between the pads."""
        return np.array(self._env.sim.data._data.site_xpos[self._site])

    def fingers(self) -> np.ndarray:
        """(3,), unit axis from pad to pad: the site's own axes are turned against it."""
        first, second = self._env.sim.data._data.geom_xpos[self._pads]
        return (second - first) / np.linalg.norm(second - first)

    def turn(self, axis: np.ndarray) -> np.ndarray:
        """(3,), the rotation vector that brings the pads onto `axis` and the hand upright."""
        approach = self._env.sim.data._data.site_xmat[self._site].reshape(3, 3)[:, 2]
        now = _frame(self.fingers(), approach)
        return _vector(_frame(axis, np.array([0.0, 0, -1])) @ now.T)


def _frame(first: np.ndarray, third: np.ndarray) -> np.ndarray:
    first = first - third * (first @ third)
    first = first / np.linalg.norm(first)
    return np.stack([first, np.cross(third, first), third], axis=1)


def _vector(rotation: np.ndarray) -> np.ndarray:
    """Axis times angle of a rotation matrix well short of half a turn."""
    twice = np.array(
        [
            rotation[2, 1] - rotation[1, 2],
            rotation[0, 2] - rotation[2, 0],
            rotation[1, 0] - rotation[0, 1],
        ]
    )
    sine, cosine = np.linalg.norm(twice) / 2, (np.trace(rotation) - 1) / 2
    return twice / 2 * (np.arctan2(sine, cosine) / sine if sine > 1e-9 else 1.0)


def _middle(values: np.ndarray) -> np.ndarray:
    return (values.min(axis=0) + values.max(axis=0)) / 2


def _line(model: Simulation, body: int) -> Sequence[int]:
    """A body and all it hangs on."""
    line = [body]
    while line[-1] > 0:
        line.append(int(model.body_parentid[line[-1]]))
    return line
