"""SimplerEnv's environments as a body: one task, an environment for each way it is built."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from takt.benchmarks.suites.simpler_protocol import Configuration
from takt.benchmarks.suites.simpler_robots import ROBOTS
from takt.benchmarks.suites.suite import SuiteError, Trial
from takt.types import EmbodimentSpec, Observation, Policy

RESET_SEED = 42
"""The released evaluation's. Poses are given; what is drawn besides is alike in every repeat."""


class Task(Protocol):
    """What of an environment is used without its wrappers."""

    def get_language_instruction(self) -> str:
        """What is to be done now."""
        ...


class Environment(Protocol):
    """What of a ManiSkill2_real2sim environment is used, wrapped by gymnasium."""

    @property
    def unwrapped(self) -> Task:
        """It without wrappers."""
        ...

    def reset(self, *, seed: int, options: dict[str, Any]) -> tuple[Mapping[str, Any], object]:
        """Begin; the first is `image` by camera and `agent`."""
        ...

    def step(self, action: np.ndarray) -> tuple[Mapping[str, Any], float, bool, bool, object]:
        """One control step (7,); the third is whether it is done, the fourth if time is up."""
        ...

    def close(self) -> None:
        """Free the renderer."""


Build = Callable[[Configuration], Environment]
Resize = Callable[[np.ndarray, int, int], np.ndarray]
"""An image (h, w, 3) uint8 to (height, width, 3)."""


class SimplerScene:
    """Plays trials of one task; trial `index` is configuration `index` modulo their number.

    Attributes:
        blind: See `Scene`. The simulator renders all the same.
    """

    def __init__(
        self, title: str, configurations: Sequence[Configuration], build: Build, resize: Resize
    ) -> None:
        """Build nothing yet."""
        self._configurations, self._build, self._resize = configurations, build, resize
        self._robot = ROBOTS[configurations[0].robot]
        self._spec = replace(self._robot.spec, instruction=title)
        self._environment: Environment | None = None
        self._now = configurations[0]
        self._seen: Mapping[str, Any] = {}
        self.blind = False
        self._steps, self._success, self._over = 0, False, False

    @property
    def spec(self) -> EmbodimentSpec:
        """Its fixed facts; the instruction of the moment is in the observations."""
        return self._spec

    def reset(self, trial: Trial) -> None:
        """Put robot and object where the trial's configuration has them."""
        wanted = self._configurations[trial.index % len(self._configurations)]
        if self._environment is None or _built(wanted) != _built(self._now):
            self.close()
            self._environment = self._build(wanted)
        self._now = wanted
        self._seen, _ = self._environment.reset(seed=RESET_SEED, options=reset_options(wanted))
        self._steps, self._success, self._over = 0, False, False

    @property
    def finished(self) -> bool:
        """It succeeded, or ran out of steps."""
        return self._success or self._over or self._steps >= self._now.max_steps

    @property
    def stages(self) -> int:
        """1 from the first step that was done."""
        return int(self._success)

    def observe(self) -> Observation:
        """The camera, resized, unless `blind`; the tool; what is to be done now."""
        stamp = self._steps * self._spec.dt
        images = {} if self.blind else {"base": self._picture()}
        return Observation(
            stamp=stamp,
            images=images,
            image_stamps=dict.fromkeys(images, stamp),
            state=self._robot.state(self._tool()),
            instruction=self._open.unwrapped.get_language_instruction(),
        )

    def act(self, action: np.ndarray) -> None:
        """One control step."""
        command = self._robot.command(action)
        self._seen, _, done, self._over, _ = self._open.step(command)
        self._steps += 1
        self._success = self._success or bool(done)

    def stop(self) -> None:
        """A simulator stands still by itself."""

    def expert(self) -> Policy:
        """None yet.

        Raises:
            SuiteError: always.
        """
        raise SuiteError(
            "simpler has no scripted player; choose hold, random, replay:FOLDER or a policy"
        )

    def close(self) -> None:
        """Free the renderer."""
        if self._environment is not None:
            self._environment.close()
            self._environment = None

    @property
    def _open(self) -> Environment:
        assert self._environment is not None
        return self._environment

    def _picture(self) -> np.ndarray:
        camera = self._spec.cameras[0]
        image = np.asarray(self._seen["image"][self._robot.camera]["rgb"])
        return self._resize(image, camera.height, camera.width)

    def _tool(self) -> np.ndarray:
        tool = self._seen["agent"].get("eef_pos")
        if tool is None:
            raise SuiteError(
                "expected the tool's pose as `eef_pos` of ManiSkill2_real2sim, got none; build "
                "from the fork allenzren/SimplerEnv, which the released evaluation runs"
            )
        return np.asarray(tool, np.float64)


def reset_options(configuration: Configuration) -> dict[str, Any]:
    """Where robot and object begin, as the environments want to be told."""
    x, y, yaw = configuration.stand
    half = yaw / 2
    # the yaw on top of the half turn by which every robot faces its table: w x y z
    robot = {
        "init_xy": np.array([x, y]),
        "init_rot_quat": np.array([-np.sin(half), 0.0, 0.0, np.cos(half)]),
    }
    place = configuration.place
    if isinstance(place, int):
        return {"robot_init_options": robot, "obj_init_options": {"episode_id": place}}
    return {"robot_init_options": robot, "obj_init_options": {"init_xy": np.array(place)}}


def build_options(configuration: Configuration, *, photos: str, ray_traced: bool) -> dict[str, Any]:
    """What `gymnasium.make` is told besides the environment's id.

    Args:
        configuration: Which.
        photos: Folder of the overlays.
        ray_traced: Whether to use SAPIEN's ray tracing where it is published with it.
    """
    robot = ROBOTS[configuration.robot]
    options: dict[str, Any] = {
        "obs_mode": "rgbd",
        "robot": configuration.robot_uid,
        "sim_freq": robot.sim_rate_hz,
        "control_mode": robot.control_mode,
        "control_freq": int(robot.spec.rate_hz),
        "max_episode_steps": configuration.max_steps,
        "scene_name": configuration.scene,
        "camera_cfgs": {"add_segmentation": True},
        **dict(configuration.options),
    }
    if configuration.overlay is not None:
        options["rgb_overlay_path"] = f"{photos}/{configuration.overlay}"
        options["rgb_overlay_cameras"] = [robot.camera]
    if configuration.ray_traced and ray_traced:
        options["shader_dir"] = "rt"
    return options


def _built(configuration: Configuration) -> Configuration:
    """What is alike of configurations that one environment plays."""
    return replace(configuration, stand=(0.0, 0.0, 0.0), place=0)
