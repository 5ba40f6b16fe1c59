"""MetaWorld MT50 as lerobot evaluates it (reference anchors.md, 1.2): one camera and the hand.

Camera `corner2`, moved and turned by 180 degrees; object and goal random in every trial; success at
any of 500 steps. What a policy sees holds no object's place; only the expert reads those.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import ClassVar, Literal

import numpy as np

from takt.benchmarks.suites.draws import draw_trials
from takt.benchmarks.suites.metaworld_scene import (
    CAMERA,
    MAX_STEPS,
    MetaworldScene,
    Script,
    Simulator,
)
from takt.benchmarks.suites.metaworld_tasks import (
    GROUPS,
    INSTRUCTIONS,
    PUSH_BACK_AFTER_4410,
    TASKS,
)
from takt.benchmarks.suites.offscreen import import_simulator
from takt.benchmarks.suites.selection import select
from takt.benchmarks.suites.suite import SuiteError, Trial
from takt.types import (
    ActionSpace,
    CameraSpec,
    EmbodimentSpec,
    StateSpace,
)

RATE_HZ = 80.0
"""5 physics steps of 2.5 ms in a control step; also the frame rate of lerobot/metaworld_mt50."""
PROTOCOL_IMAGE = 480
CAMERA_PLACE = (0.75, 0.075, 0.7)  # lerobot's; the package's is (1.3, -0.2, 1.1)

SPEC = EmbodimentSpec(
    name="metaworld",
    rate_hz=RATE_HZ,
    cameras=(
        CameraSpec(name=CAMERA, view="Base View", height=PROTOCOL_IMAGE, width=PROTOCOL_IMAGE),
    ),
    action_space=ActionSpace(
        names=("dx", "dy", "dz", "gripper"),
        units=("1", "1", "1", "1"),  # a change of 1 moves the hand's target by 1 cm in a step
        low=np.full(4, -1.0, np.float32),
        high=np.full(4, 1.0, np.float32),
        delta=(True, True, True, False),
        initial=np.array([0.0, 0.0, 0.0, -1.0], np.float32),  # open, as a reset leaves it
    ),
    slots=(0, 1, 2, 6),
    relative=(False, False, False, False),
    instruction="",  # the task's, once there is a scene
    state_space=StateSpace(names=("x", "y", "z", "opening"), slots=(0, 1, 2, 6)),
)

Render = Literal["default", "fast"]
Prompts = Literal["before-4410", "after-4410"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metaworld:
    """MetaWorld MT50, image-based imitation.

    Attributes:
        tasks: Names, lerobot's task ids, ranges of them (`0-9`), groups (`easy`), or `all`.
        episodes: Trials of each task; lerobot's documentation asks for 10.
        seed: Draws the trials. Those of one task do not depend on which others are played, and
            fewer episodes are the first of more.
        render: `default` is the package's; `fast` goes without multisampling, shadows and
            reflections: same states, other pixels, a tenth of the time without a GPU.
        image_size: Pixels on each side, as rendered.
        prompts: Sentences as in lerobot's data set, or with the newer one for push-back.
    """

    name: ClassVar[str] = "metaworld"

    tasks: str = "all"
    episodes: int = 10
    seed: int = 0
    render: Render = "default"
    image_size: int = PROTOCOL_IMAGE
    prompts: Prompts = "before-4410"

    def __post_init__(self) -> None:
        """Refuse what no trial could be made of."""
        for field, value, least in (
            ("episodes", self.episodes, 1),
            ("seed", self.seed, 0),
            ("image_size", self.image_size, 1),
        ):
            if value < least:
                raise SuiteError(
                    f"metaworld {field}: expected {least} or more, got {value}; raise it"
                )

    @property
    def label(self) -> str:
        """`metaworld` is lerobot's protocol to the letter; what differs from it follows."""
        size = "" if self.image_size == PROTOCOL_IMAGE else f"-{self.image_size}px"
        prompts = "" if self.prompts == "before-4410" else "-prompts4410"
        return f"metaworld{size}{prompts}{'+fastrender' if self.render == 'fast' else ''}"

    @property
    def notes(self) -> Sequence[str]:
        """What a reader of the figures must know."""
        return (
            f"lerobot protocol: success at any of {MAX_STEPS} steps, object and goal random",
            "no object's place is given to the policy: camera and hand only",
            f"camera {CAMERA} at {CAMERA_PLACE}, turned by 180 degrees, "
            f"{self.image_size} x {self.image_size} pixels, {self.render} render",
            f"sentences of lerobot {self.prompts.replace('-', ' pull request ')}",
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
        """The chosen tasks by difficulty."""
        chosen = set(self._chosen())
        kept = {group: [t for t in tasks if t in chosen] for group, tasks in GROUPS.items()}
        return {group: tasks for group, tasks in kept.items() if tasks}

    def open(self, task: str) -> MetaworldScene:
        """Build the simulator of `task`.

        Raises:
            SuiteError: an unknown task, or MetaWorld is not installed here.
        """
        if task not in INSTRUCTIONS:
            raise SuiteError(f"expected a task of MT50, got {task!r}; they are {', '.join(TASKS)}")
        simulator, script = _build(task, self.render, self.image_size)
        instruction = INSTRUCTIONS[task]
        if task == "push-back" and self.prompts == "after-4410":
            instruction = PUSH_BACK_AFTER_4410
        camera = replace(SPEC.cameras[0], height=self.image_size, width=self.image_size)
        spec = replace(SPEC, cameras=(camera,), instruction=instruction)
        return MetaworldScene(simulator, script, spec)

    def versions(self) -> Mapping[str, str]:
        """Of the simulator; call where it is installed."""
        return {name: version(name) for name in ("metaworld", "mujoco", "gymnasium", "numpy")}

    def _chosen(self) -> list[str]:
        parts = self.tasks.replace("-v3", "").split(",")
        return select(",".join(",".join(GROUPS.get(p.strip(), (p,))) for p in parts), TASKS)


def _build(task: str, render: Render, image_size: int) -> tuple[Simulator, Script]:
    """The package's environment, goal observable to the script, and that script."""
    environments = import_simulator("metaworld", "metaworld").ALL_V3_ENVIRONMENTS
    scripts = import_simulator("metaworld.policies", "metaworld").ENV_POLICY_MAP
    warnings.filterwarnings("ignore", message="Constant.s. may be too high")  # we clip
    name = f"{task}-v3"
    simulator = environments[name](
        render_mode="rgb_array", camera_name=CAMERA, width=image_size, height=image_size
    )
    # What MT1 sets through a pickled task; lerobot then frees the random vector as well.
    simulator._partially_observable = False
    del simulator.sawyer_observation_space  # cached while the goal was hidden
    simulator._set_task_called = True
    simulator._freeze_rand_vec = False
    simulator.seeded_rand_vec = True  # draw from the seed, not from numpy's global generator
    model = simulator.model
    model.camera(CAMERA).pos = CAMERA_PLACE
    if render == "fast":  # before the first render
        model.vis.quality.offsamples = 0
        model.vis.quality.shadowsize = 0
        model.mat_reflectance[:] = 0
    return simulator, scripts[name]()
