"""An axis that commands a change stands still while nothing is due; one that is a target holds."""

import numpy as np

from takt.runtime.chunking import Synchronous
from takt.runtime.clock import VirtualClock
from takt.runtime.executor import Executor
from takt.runtime.inference import InlinePolicy
from takt.runtime.latency import Injected
from takt.runtime.safety import Governor, step_limits
from takt.types import ActionChunk, ActionSpace, EmbodimentSpec, Observation, StateSpace

SPEC = EmbodimentSpec(
    name="simulated arm",
    rate_hz=10.0,
    cameras=(),
    action_space=ActionSpace(
        names=("dx", "gripper"),
        units=("1", "1"),
        low=-np.ones(2, np.float32),
        high=np.ones(2, np.float32),
        delta=(True, False),
        initial=np.array([0.0, -1.0], np.float32),
    ),
    slots=(0, 1),
    relative=(False, False),
    instruction="",
    state_space=StateSpace(names=("x",), slots=(0,)),
)


class Arm:
    """Remembers what it was told."""

    spec = SPEC

    def __init__(self) -> None:
        self.told: list[list[float]] = []

    def observe(self) -> Observation:
        now = len(self.told) * SPEC.dt
        state = np.zeros(1, np.float32)
        return Observation(stamp=now, images={}, image_stamps={}, state=state, instruction="")

    def act(self, action: np.ndarray) -> None:
        self.told.append(action.tolist())

    def stop(self) -> None: ...


class Push:
    """Three steps on, the gripper closed."""

    def reset(self, seed: int) -> None: ...

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        actions = np.full((3, 2), [0.5, 1.0])
        return ActionChunk(stamp=observation.stamp, dt=SPEC.dt, actions=actions)


def test_a_body_that_waits_stands_still_and_keeps_its_grip() -> None:
    arm = Arm()
    executor = Executor(
        arm,
        InlinePolicy(Push()),
        Synchronous(3),
        clock=VirtualClock(SPEC.dt),
        latency=Injected(2),
        governor=Governor(SPEC.action_space, step_limits(SPEC)),
    )
    executor.run(lambda: len(arm.told) == 9)
    before, plan, waits = [0.0, -1.0], [0.5, 1.0], [0.0, 1.0]
    assert arm.told == [before, before, plan, plan, plan, waits, waits, plan, plan]


def test_what_is_foreseen_behind_a_plan_is_what_is_held() -> None:
    governor = Governor(SPEC.action_space, step_limits(SPEC))
    plan, last = np.array([[0.5, 1.0]], np.float32), np.array([0.5, -1.0], np.float32)
    assert governor.foresee(plan, last, 3).tolist() == [[0.5, 1.0], [0.0, 1.0], [0.0, 1.0]]
