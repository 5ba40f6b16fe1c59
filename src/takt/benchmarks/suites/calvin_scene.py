"""CALVIN's table as a body that plays chains of five subtasks, one after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from takt.benchmarks.suites.calvin_chains import initial_state
from takt.benchmarks.suites.calvin_sequences import LENGTH, Chain
from takt.benchmarks.suites.suite import SuiteError, Trial
from takt.embodiments.layouts import released_layout
from takt.types import ActionSpace, CameraSpec, EmbodimentSpec, Observation, Policy, StateSpace

MAX_STEPS = 360  # of a subtask; mees/calvin, evaluate_policy.py
_LAYOUT = released_layout("calvin")
_KEYS = {"base": "rgb_static", "wrist": "rgb_gripper"}
_PIXELS = {"base": 200, "wrist": 84}
_OPEN = 1.0

SPEC = EmbodimentSpec(
    name="calvin",
    rate_hz=30.0,
    cameras=tuple(
        CameraSpec(name=name, view=view, height=_PIXELS[name], width=_PIXELS[name])
        for name, view in zip(_KEYS, _LAYOUT.views, strict=True)
    ),
    action_space=ActionSpace(
        names=tuple(_LAYOUT.actions),
        units=("1",) * 7,
        low=np.full(7, -1.0, np.float32),
        high=np.full(7, 1.0, np.float32),
        delta=(*(True,) * 6, False),
        initial=np.array([*(0.0,) * 6, _OPEN], np.float32),
    ),
    slots=tuple(_LAYOUT.actions.values()),
    relative=(False,) * 7,
    instruction="a chain of five tasks",
    state_space=StateSpace(names=tuple(_LAYOUT.states), slots=tuple(_LAYOUT.states.values())),
)
"""1 on an axis moves the tool's target by 2 cm or 0.05 rad; a gripper above 0 opens."""

Info = Mapping[str, Any]


class Table(Protocol):
    """What of calvin_env's PlayTableSimEnv is used."""

    cameras: Sequence[Any]

    def reset(self, robot_obs: np.ndarray, scene_obs: np.ndarray) -> Mapping[str, Any]:
        """Begin with a state (15,), (24,)."""
        ...

    def step(self, action: np.ndarray) -> tuple[Mapping[str, Any], float, bool, Info]:
        """One control step (7,); renders with each of `cameras`."""
        ...

    def get_obs(self) -> Mapping[str, Any]:
        """`rgb_obs` by camera, `robot_obs` (15,), `scene_obs` (24,)."""
        ...

    def get_info(self) -> Info:
        """What the oracle reads."""
        ...

    def close(self) -> None:
        """Disconnect from Bullet."""


class Oracle(Protocol):
    """Judges which subtasks were done between two infos."""

    def get_task_info_for_set(self, start_info: Info, end_info: Info, task_filter: set[str]) -> set:
        """Those of `task_filter` that were."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulator:
    """Table, judge, and the sentence of each subtask."""

    table: Table
    oracle: Oracle
    instructions: Mapping[str, str]


class CalvinScene:
    """Plays chains: the instruction changes when a subtask is done, the scene goes on as it is.

    Cameras render when somebody looks, not on every step as in calvin_env; states are the same.

    Attributes:
        blind: See `Scene`.
    """

    def __init__(self, simulator: Simulator, chains: Sequence[Chain]) -> None:
        """Begin no trial yet."""
        self._table, self._oracle = simulator.table, simulator.oracle
        self._instructions, self._chains = simulator.instructions, chains
        self._cameras, self._table.cameras = self._table.cameras, ()
        self.blind = False
        self._subtasks: tuple[str, ...] = ()
        self._start: Info = {}
        self._stages, self._steps, self._ticks = 0, 0, 0
        self._gripper = _OPEN

    @property
    def spec(self) -> EmbodimentSpec:
        """`SPEC`; who begins in mid-chain begins with the gripper as it is."""
        initial = np.array([*(0.0,) * 6, self._gripper], np.float32)
        return replace(SPEC, action_space=replace(SPEC.action_space, initial=initial))

    def reset(self, trial: Trial) -> None:
        """Put everything where the chain of the trial's index begins."""
        chain = self._chains[trial.index]
        robot, scene = initial_state(chain.condition)
        self._table.reset(robot_obs=robot, scene_obs=scene)
        self._subtasks, self._stages, self._ticks = chain.subtasks, 0, 0
        self._gripper = _OPEN
        self._begin_subtask()

    @property
    def finished(self) -> bool:
        """A subtask ran out of steps, or all are done."""
        return self._stages == LENGTH or self._steps >= MAX_STEPS

    @property
    def stages(self) -> int:
        """Subtasks done in a row."""
        return self._stages

    @property
    def subtask(self) -> str:
        """That is to be done now; the last one after the chain."""
        return self._subtasks[min(self._stages, LENGTH - 1)]

    def observe(self) -> Observation:
        """Both cameras unless `blind`, the tool's pose and opening, the current instruction."""
        self._table.cameras = () if self.blind else self._cameras
        try:
            seen = self._table.get_obs()
        finally:
            self._table.cameras = ()
        stamp = self._ticks * SPEC.dt
        keys = {} if self.blind else _KEYS
        return Observation(
            stamp=stamp,
            images={name: np.ascontiguousarray(seen["rgb_obs"][key]) for name, key in keys.items()},
            image_stamps=dict.fromkeys(keys, stamp),
            state=np.asarray(seen["robot_obs"][:7], np.float32),
            instruction=self._instructions[self.subtask],
        )

    def act(self, action: np.ndarray) -> None:
        """One control step; the judge looks after each."""
        command = np.array(action, np.float64)  # calvin_env scales it in place
        self._gripper = command[6] = 1.0 if command[6] > 0 else -1.0
        _, _, _, info = self._table.step(command)
        self._steps += 1
        self._ticks += 1
        if self._oracle.get_task_info_for_set(self._start, info, {self.subtask}):
            self._stages += 1
            self._begin_subtask()

    def stop(self) -> None:
        """A simulator stands still by itself."""

    def expert(self) -> Policy:
        """None yet.

        Raises:
            SuiteError: always.
        """
        raise SuiteError(
            "calvin has no scripted player; choose hold, random, replay:FOLDER or a policy"
        )

    def close(self) -> None:
        """Disconnect from Bullet."""
        self._table.cameras = self._cameras
        self._table.close()

    def _begin_subtask(self) -> None:
        self._start, self._steps = self._table.get_info(), 0
