"""gym-aloha as lerobot evaluates it: two ViperX arms, the top camera, joint targets at 50 Hz.

lerobot's settings: 400 steps, 640 x 480 pixels, the 14 measured joints; success when the package's
reward is 4.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import ClassVar

import numpy as np

from takt.benchmarks.suites.aloha_expert import Script, insertion, transfer
from takt.benchmarks.suites.aloha_scene import (
    CAMERA,
    MAX_STEPS,
    AlohaScene,
    AlohaSimulator,
    Render,
)
from takt.benchmarks.suites.draws import draw_trials
from takt.benchmarks.suites.selection import select
from takt.benchmarks.suites.suite import SuiteError, Trial
from takt.types import ActionSpace, CameraSpec, EmbodimentSpec

RATE_HZ = 50.0
PROTOCOL_IMAGE = (640, 480)
INSTRUCTIONS: Mapping[str, str] = {
    "transfer-cube": "Pick up the cube with the right arm and transfer it to the left arm.",
    "insertion": "Insert the peg into the socket.",
}
"""By task, as in lerobot's data sets aloha_sim_*."""

TASKS = tuple(INSTRUCTIONS)
SCRIPTS: Mapping[str, Script] = {"transfer-cube": transfer, "insertion": insertion}
JOINTS = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate")
AXES = tuple(f"{side}_{axis}" for side in ("left", "right") for axis in (*JOINTS, "gripper"))
_LOW = (-3.14158, -1.85005, -1.76278, -3.14158, -1.8675, -3.14158, 0.0)  # the package's MJCF
_HIGH = (3.14158, 1.25664, 1.6057, 3.14158, 2.23402, 3.14158, 1.0)

SPEC = EmbodimentSpec(
    name="aloha",
    rate_hz=RATE_HZ,
    cameras=(
        CameraSpec(name=CAMERA, view="Ego View", height=PROTOCOL_IMAGE[1], width=PROTOCOL_IMAGE[0]),
    ),
    action_space=ActionSpace(
        names=AXES,
        units=(*("rad",) * 6, "1") * 2,  # a gripper from 0 (closed) to 1 (open)
        low=np.array(_LOW * 2, np.float32),
        high=np.array(_HIGH * 2, np.float32),
    ),
    slots=(*range(7, 13), 6, *range(21, 27), 20),  # bimanual layout: reference xr0-model.md, 5
    relative=(*(True,) * 6, False) * 2,
    instruction="",  # the task's, once there is a scene
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aloha:
    """gym-aloha: a cube from hand to hand, a peg into its socket.

    Attributes:
        tasks: `transfer-cube`, `insertion`, their ids 0 and 1, or `all`.
        episodes: Trials of each task; lerobot's published policies name 50 or more.
        seed: Draws the trials; fewer episodes are the first of more.
        render: `default` is the package's; `fast` goes without multisampling and shadows: same
            states, other pixels, an eighth of the time without a GPU.
        image_width: Pixels.
        image_height: Pixels.
    """

    name: ClassVar[str] = "aloha"

    tasks: str = "all"
    episodes: int = 50
    seed: int = 0
    render: Render = "default"
    image_width: int = PROTOCOL_IMAGE[0]
    image_height: int = PROTOCOL_IMAGE[1]

    def __post_init__(self) -> None:
        """Refuse what no trial could be made of."""
        for field, value, least in (
            ("episodes", self.episodes, 1),
            ("seed", self.seed, 0),
            ("image_width", self.image_width, 1),
            ("image_height", self.image_height, 1),
        ):
            if value < least:
                raise SuiteError(f"aloha {field}: expected {least} or more, got {value}; raise it")

    @property
    def label(self) -> str:
        """`aloha` is lerobot's protocol to the letter; what differs from it follows."""
        size = (self.image_width, self.image_height)
        pixels = "" if size == PROTOCOL_IMAGE else f"-{size[0]}x{size[1]}px"
        return f"aloha{pixels}{'+fastrender' if self.render == 'fast' else ''}"

    @property
    def notes(self) -> Sequence[str]:
        """What a reader of the figures must know."""
        return (
            f"lerobot protocol: reward 4 at any of {MAX_STEPS} steps (the package registers 300)",
            f"camera {CAMERA}, {self.image_width} x {self.image_height} pixels, "
            f"{self.render} render",
            "its expert is takt's own: the package has none",
            f"{len(self._chosen())} of {len(TASKS)} tasks",
        )

    @property
    def longest_chain(self) -> int:
        """One task a trial."""
        return 1

    def trials(self) -> Sequence[Trial]:
        """Every episode of every chosen task.

        Raises:
            SuiteError: an unknown task.
        """
        return [
            trial
            for task in self._chosen()
            for trial in draw_trials(
                task, TASKS.index(task), episodes=self.episodes, seed=self.seed
            )
        ]

    def groups(self) -> Mapping[str, Sequence[str]]:
        """None: the two tasks are reported apart."""
        return {}

    def open(self, task: str) -> AlohaScene:
        """Build the simulator of `task`.

        Raises:
            SuiteError: an unknown task, or gym-aloha is not installed here.
        """
        if task not in INSTRUCTIONS:
            raise SuiteError(f"expected {' or '.join(TASKS)}, got {task!r}; name one of them")
        simulator = AlohaSimulator(task, self.render, self.image_height, self.image_width)
        camera = replace(SPEC.cameras[0], height=self.image_height, width=self.image_width)
        spec = replace(SPEC, cameras=(camera,), instruction=INSTRUCTIONS[task])
        return AlohaScene(simulator, SCRIPTS[task], spec)

    def versions(self) -> Mapping[str, str]:
        """Of the simulator; call where it is installed."""
        return {name: version(name) for name in ("gym-aloha", "mujoco", "dm-control", "numpy")}

    def _chosen(self) -> list[str]:
        return select(self.tasks, TASKS)
