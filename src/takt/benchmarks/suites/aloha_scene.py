"""gym-aloha's simulator as a body: two ViperX arms, joint targets at 50 Hz."""

from importlib import import_module
from typing import Any, Literal, Protocol

import numpy as np

from takt.benchmarks.suites.aloha_expert import Script
from takt.benchmarks.suites.offscreen import import_simulator, no_pictures
from takt.benchmarks.suites.suite import Trial
from takt.types import ActionChunk, EmbodimentSpec, Observation

CAMERA = "top"
MAX_STEPS = 400  # lerobot's; the package registers 300
SUCCESS = 4  # the package's highest reward: transferred, or inserted

Render = Literal["default", "fast"]


class Simulator(Protocol):
    """What the scene needs of `AlohaSimulator`."""

    def reset(self, seed: int) -> np.ndarray:
        """Arms at their start, objects where the seed puts them; the state (14,)."""
        ...

    def step(self, action: np.ndarray) -> tuple[np.ndarray, bool]:
        """One control step; the state (14,), and whether it is a success."""
        ...

    def objects(self) -> np.ndarray:
        """Poses of what is to be moved, 7 numbers each."""
        ...

    def render(self) -> np.ndarray:
        """(height, width, 3) uint8."""
        ...

    def close(self) -> None:
        """Free the renderer."""


class AlohaScene:
    """Plays trials of one task.

    Attributes:
        blind: Observations come without images; set it for players that do not look.
    """

    def __init__(self, simulator: Simulator, script: Script, spec: EmbodimentSpec) -> None:
        """Begin no trial yet."""
        self._simulator, self._script, self._spec = simulator, script, spec
        self.blind = False
        self._state = np.zeros(len(spec.state_names))
        self._steps, self._success = 0, False

    @property
    def spec(self) -> EmbodimentSpec:
        """Its fixed facts."""
        return self._spec

    def reset(self, trial: Trial) -> None:
        """Put the objects where the trial's seed says."""
        self._state = self._simulator.reset(trial.seed)
        self._steps, self._success = 0, False

    @property
    def finished(self) -> bool:
        """It succeeded, or ran out of steps."""
        return self._success or self._steps >= MAX_STEPS

    @property
    def stages(self) -> int:
        """1 from the first step with success."""
        return int(self._success)

    def observe(self) -> Observation:
        """Camera and joints; renders unless `blind`."""
        stamp = self._steps * self._spec.dt
        images = {} if self.blind else {CAMERA: self._picture()}
        return Observation(
            stamp=stamp,
            images=images,
            image_stamps=dict.fromkeys(images, stamp),
            state=self._state.astype(np.float32),
            instruction=self._spec.instruction,
        )

    def act(self, action: np.ndarray) -> None:
        """One control step."""
        self._state, success = self._simulator.step(action)
        self._steps += 1
        self._success = self._success or success

    def stop(self) -> None:
        """A simulator stands still by itself."""

    def expert(self) -> "AlohaExpert":
        """Our own script for the task."""
        return AlohaExpert(self, self._script)

    @property
    def steps(self) -> int:
        """Control steps since the trial began."""
        return self._steps

    @property
    def objects(self) -> np.ndarray:
        """Poses of what is to be moved, 7 numbers each. Not for policies."""
        return self._simulator.objects()

    def close(self) -> None:
        """Free the renderer."""
        self._simulator.close()

    def _picture(self) -> np.ndarray:
        try:
            return self._simulator.render()
        except Exception as error:  # every OpenGL backend has failures of its own
            raise no_pictures("aloha", error) from error


class AlohaExpert:
    """A script as a policy: plans of one action, from where the objects lay in the beginning."""

    def __init__(self, scene: AlohaScene, script: Script) -> None:
        """Watch `scene`."""
        self._scene, self._script = scene, script
        self._actions = np.zeros((0, 0))

    def reset(self, seed: int) -> None:
        """Look where the objects of the new trial lie."""
        self._actions = self._script(self._scene.objects)

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        """The action for now; the last one when the script is over."""
        index = min(self._scene.steps, len(self._actions) - 1)
        return ActionChunk(
            stamp=observation.stamp,
            dt=self._scene.spec.dt,
            actions=self._actions[index : index + 1].astype(np.float32),
        )


class Model(Protocol):
    """dm_control's wrapping of an MjModel."""

    ptr: Any
    """The MjModel."""


class AlohaSimulator:
    """The package's scene, task and rewards, without the three pictures it renders in each step."""

    def __init__(self, task: str, render: Render, height: int, width: int) -> None:
        """Load the scene of `task` (`transfer-cube` or `insertion`).

        Raises:
            SuiteError: gym-aloha is not installed here, or OpenGL cannot be had.
        """
        constants = import_simulator("gym_aloha.constants", "aloha")
        engine = import_simulator("dm_control.mujoco", "aloha")
        self._tasks = import_module("gym_aloha.tasks.sim")
        places = import_module("gym_aloha.utils")
        if task == "insertion":
            self._task, self._place = self._tasks.InsertionTask(), places.sample_insertion_pose
        else:
            self._task, self._place = self._tasks.TransferCubeTask(), places.sample_box_pose
        scene = constants.ASSETS_DIR / f"bimanual_viperx_{task.replace('-', '_')}.xml"
        self._physics = engine.Physics.from_xml_path(str(scene))
        _prepare(self._physics.model, render, height, width)
        self._task.get_observation = lambda physics: {}  # where the package renders
        control = import_module("dm_control.rl.control")
        self._environment = control.Environment(
            self._physics, self._task, float("inf"), control_timestep=constants.DT
        )
        self._picture_size = (height, width)
        self._camera: Any = None
        self._engine = engine

    def reset(self, seed: int) -> np.ndarray:
        """See `Simulator`."""
        self._tasks.BOX_POSE[0] = np.hstack(self._place(seed))  # as the package's own reset does
        self._environment.reset()
        return self._task.get_qpos(self._physics)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, bool]:
        """See `Simulator`."""
        reward = self._environment.step(action).reward
        return self._task.get_qpos(self._physics), reward == SUCCESS

    def objects(self) -> np.ndarray:
        """See `Simulator`."""
        return self._task.get_env_state(self._physics)

    def render(self) -> np.ndarray:
        """See `Simulator`."""
        if self._camera is None:
            self._camera = self._engine.Camera(self._physics, *self._picture_size, camera_id=CAMERA)
        return self._camera.render().copy()

    def close(self) -> None:
        """See `Simulator`."""
        self._physics.free()


def _prepare(model: Model, render: Render, height: int, width: int) -> None:
    """Make room for the picture; `fast` goes without multisampling and shadows."""
    visual = model.ptr.vis
    visual.global_.offheight = max(visual.global_.offheight, height)
    visual.global_.offwidth = max(visual.global_.offwidth, width)
    if render == "fast":
        visual.quality.offsamples = 0
        visual.quality.shadowsize = 0
        model.ptr.light_castshadow[:] = 0
        model.ptr.mat_reflectance[:] = 0
