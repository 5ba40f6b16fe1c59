"""LIBERO's simulator as a body: seen as its stock loop sees it, drawn only when looked at."""

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from takt.benchmarks.suites.libero_perturbation import Perturbation
from takt.benchmarks.suites.offscreen import import_simulator, no_pictures
from takt.benchmarks.suites.suite import SuiteError, Trial
from takt.types import ActionSpace, CameraSpec, EmbodimentSpec, Observation, StateSpace

if TYPE_CHECKING:
    from takt.types import Policy

Rendering = Literal["default", "fast"]
Simulation = Any  # of packages that only the suite's environment has

RATE_HZ = 20.0
PIXELS = 256
ENV_SEED = 7
IDLE_STEPS = 10
IDLE_ACTION = np.array([0, 0, 0, 0, 0, 0, -1], np.float32)  # stand still, gripper open
# Our name, the title in the released prompt, and LIBERO's camera.
CAMERAS = (
    ("base", "Base View", "agentview"),
    ("wrist_left", "Left-Wrist View", "robot0_eye_in_hand"),
)
SENSORS = ("robot0_eef_pos", "robot0_eef_quat", "robot0_gripper_qpos")
# All that MuJoCo draws a scene without tendons, skins and flexes from.
_PLACES = (
    *("xpos", "xquat", "xmat", "xipos", "ximat", "geom_xpos", "geom_xmat", "site_xpos"),
    *("site_xmat", "cam_xpos", "cam_xmat", "light_xpos", "light_xdir"),
)
_AXES = ("x", "y", "z", "roll", "pitch", "yaw")


SPEC = EmbodimentSpec(  # 1.0 is 0.05 m or 0.5 rad a step; gripper -1 open, 1 closed
    name="libero",
    rate_hz=RATE_HZ,
    cameras=tuple(
        CameraSpec(name=name, view=view, height=PIXELS, width=PIXELS) for name, view, _ in CAMERAS
    ),
    action_space=ActionSpace(
        names=(*(f"delta_{axis}" for axis in _AXES), "gripper"),
        units=("1",) * 7,
        low=np.full(7, -1, np.float32),
        high=np.full(7, 1, np.float32),
        delta=(True,) * 6 + (False,),
        initial=IDLE_ACTION,
    ),
    slots=tuple(range(7)),
    relative=(False,) * 7,
    instruction="",  # the task's, once there is a scene
    state_space=StateSpace(names=(*_AXES, "finger_left", "finger_right"), slots=tuple(range(8))),
)


def instruction_of(task: str) -> str:
    """What the released evaluation tells the policy: LIBERO's task language, as a sentence.

    LIBERO takes the language from the file name; libero_90 and _10 have their scene before it.
    """
    words = task.split("_")
    scene = next((at for at, word in enumerate(words) if word.startswith("SCENE")), -1)
    return " ".join(words[scene + 1 :]).capitalize() + "."


def build_simulation(bddl: Path, assets: Path, rendering: Rendering) -> Simulation:
    """LIBERO's own environment, without cameras: the scene renders when it is looked at.

    Raises:
        SuiteError: the package is missing, or cannot read its assets.
    """
    try:
        simulation = _control_env(assets)(
            bddl_file_name=str(bddl),
            use_camera_obs=False,
            has_offscreen_renderer=False,
            hard_reset=False,
        )
    except (OSError, ValueError) as error:  # MuJoCo's compiler, or a file that is not there
        raise SuiteError(
            f"LIBERO cannot build {bddl.stem} from {assets} ({error}); the asset tree is not whole"
        ) from error
    env = simulation.env
    for name in env._observables:  # poses of every object, that nobody reads here
        if name not in SENSORS:
            env.modify_observable(name, "enabled", False)
    if rendering == "fast":  # before a renderer exists; what costs on a CPU: simulators.md, 2
        model = simulation.sim.model._model
        model.vis.quality.offsamples = 0
        model.vis.quality.shadowsize = 0
        model.mat_reflectance[:] = 0
    return simulation


def _control_env(assets: Path) -> Simulation:
    """LIBERO's class, imported without its question on stdin, and without the network."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.yaml").write_text("{}\n")
        os.environ["LIBERO_CONFIG_PATH"] = folder
        package: Simulation = import_simulator("libero.libero", "libero")
    package._assets_path_cache = str(assets)
    return import_simulator("libero.libero.envs.env_wrapper", "libero").ControlEnv


class Eye:
    """Sees what the stock loop's cameras see, but draws it only when it is looked at.

    robosuite samples its cameras inside a control step (4 ms before its end, once LIBERO has set an
    initial state), not after it. So does this: it keeps the simulator's data of that moment.
    """

    def __init__(self, simulation: Simulation) -> None:
        """Be sampled from now on, when robosuite would sample a camera; draw nothing."""
        self.blind = False
        self._simulation = simulation
        self._moment: Any = None
        self._context: Any = None
        from robosuite.utils.observables import Observable, sensor  # pyright: ignore

        @sensor(modality="moment")
        def moment(cache: object) -> float:
            self._keep()
            return 0.0

        env = self._simulation.env
        env.add_observable(Observable(name="moment", sensor=moment, sampling_rate=env.control_freq))

    @property
    def age(self) -> float:
        """Seconds since what it shows."""
        if self._moment is None:
            return 0.0
        return float(self._simulation.sim.data.time - self._moment.time)

    def look(self) -> dict[str, np.ndarray]:
        """(256, 256, 3) uint8 by camera.

        Raises:
            SuiteError: no GL context can be made.
        """
        context = self._context or self._make_context()
        context.gl_ctx.make_current()
        return {name: self._draw(context, camera) for name, _, camera in CAMERAS}

    def _draw(self, context: Simulation, camera: str) -> np.ndarray:
        context.data = SimpleNamespace(_data=self._moment)
        context.render(PIXELS, PIXELS, self._simulation.sim.model.camera_name2id(camera))
        # LIBERO's users turn the raw picture, whose rows run upwards: a mirror image of the truth
        return np.ascontiguousarray(context.read_pixels(PIXELS, PIXELS)[::-1, ::-1])

    def _keep(self) -> None:
        import mujoco  # pyright: ignore

        if self.blind:
            return
        sim = self._simulation.sim
        if self._moment is None:
            self._moment = mujoco.MjData(sim.model._model)
        for name in _PLACES:
            getattr(self._moment, name)[:] = getattr(sim.data._data, name)
        # a step integrates after it has worked out where everything is
        self._moment.time = sim.data.time - sim.model._model.opt.timestep

    def _make_context(self) -> Simulation:
        from robosuite.utils.binding_utils import MjRenderContextOffscreen  # pyright: ignore

        try:
            self._context = MjRenderContextOffscreen(self._simulation.sim, device_id=-1)
        except Exception as error:  # PyOpenGL and EGL raise whatever they like
            raise no_pictures("libero", error) from error
        self._context.vopt.geomgroup[0] = 0  # collision shapes
        self._context.vopt.geomgroup[1] = 1
        return self._context


class LiberoScene:
    """One task of LIBERO, built once; every trial begins from LIBERO's own initial state."""

    def __init__(
        self,
        simulation: Simulation,
        eye: Eye,
        *,
        task: str,
        init_states: np.ndarray,
        max_steps: int,
        perturbation: Perturbation,
    ) -> None:
        """Take over `simulation`, as `build_simulation` gave it.

        Args:
            simulation: LIBERO's environment.
            eye: Looks at it.
            task: Its name in LIBERO.
            init_states: (state, n), as LIBERO ships them.
            max_steps: Of a trial, LIBERO's idle ones not counted.
            perturbation: What is changed.
        """
        self.blind = False
        self.task = task
        self.simulation = simulation
        self.spec = replace(SPEC, instruction=instruction_of(task))
        self._perturbation, self._instruction = perturbation, self.spec.instruction
        self._init_states, self._max_steps = init_states, max_steps
        self._eye = eye
        # of a flat state, whose first value is the time
        self._arm = 1 + np.array(simulation.robots[0]._ref_joint_pos_indexes)
        self._sensed: Any = None
        self._steps = 0
        self._done = False

    def reset(self, trial: Trial) -> None:
        """Begin from initial state `trial.index`; the simulator's own draws are those of seed 7."""
        self._eye.blind = self.blind
        change = self._perturbation
        change.begin(trial.seed, self.simulation.sim.model._model)
        self._instruction = change.instruction(self.spec.instruction)
        np.random.seed(ENV_SEED)  # what LIBERO's env.seed(7) does: fixtures are placed by it
        self.simulation.reset()
        state = change.initial(self._init_states[trial.index], self._arm)
        self._sensed = self.simulation.set_init_state(state)
        for _ in range(IDLE_STEPS):
            self.act(IDLE_ACTION)
        self._steps, self._done = 0, False

    def observe(self) -> Observation:
        """Both views as the checkpoints know them: LIBERO's, rotated by 180 degrees."""
        stamp = self._steps / RATE_HZ
        images = {} if self.blind else self._perturbation.images(self._eye.look())
        seen = stamp - self._eye.age
        position, quaternion, fingers = (self._sensed[name] for name in SENSORS)
        state = np.concatenate([position, rotation_vector(quaternion), fingers])
        return Observation(
            stamp=stamp,
            images=images,
            image_stamps=dict.fromkeys(images, seen),
            state=state.astype(np.float32),
            instruction=self._instruction,
        )

    def act(self, action: np.ndarray) -> None:
        """One step of 0.05 s."""
        self._sensed, _, done, _ = self.simulation.step(action.astype(np.float64))
        self._done = self._done or bool(done)
        self._steps += 1

    def stop(self) -> None:
        """Nothing moves between steps."""

    @property
    def finished(self) -> bool:
        """Solved, or out of steps."""
        return self._done or self._steps >= self._max_steps

    @property
    def stages(self) -> int:
        """1 once LIBERO's goal held at the end of a step."""
        return int(self._done)

    def expert(self) -> "Policy":
        """Pick and place, for tasks whose goal is one thing in the basket.

        Raises:
            SuiteError: the task is another one.
        """
        from takt.benchmarks.suites.libero_expert import PickAndPlace

        return PickAndPlace(self.simulation.env, self.spec)

    def close(self) -> None:
        """Let go of the simulator."""
        self.simulation.close()


def rotation_vector(quaternion: np.ndarray) -> np.ndarray:
    """Axis times angle of a quaternion (x, y, z, w), as LIBERO's users have it: angle to 2 pi."""
    w = float(np.clip(quaternion[3], -1.0, 1.0))
    sine = np.sqrt(1.0 - w * w)
    if np.isclose(sine, 0.0):
        return np.zeros(3)
    return quaternion[:3] * (2.0 * np.arccos(w) / sine)
