"""SimplerEnv: protocols, labels, the scene and its making, on a fake of its environments."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from takt.benchmarks.suites.simpler import GOOGLE_SPEC, SPEC, Simpler
from takt.benchmarks.suites.simpler_protocol import Configuration, configurations
from takt.benchmarks.suites.simpler_robots import quaternion_to_matrix
from takt.benchmarks.suites.simpler_scene import RESET_SEED, SimplerScene, reset_options
from takt.benchmarks.suites.suite import SuiteError, Trial

# Episodes and step limits of reference simulators.md, section 5.
PUBLISHED = {
    "vm": {
        "pick_coke_can": (300, {80}),
        "move_near": (240, {80}),
        "open_drawer": (108, {113}),
        "close_drawer": (108, {113}),
        "put_in_drawer": (108, {200}),
    },
    "va": {
        "pick_coke_can": (825, {80}),
        "move_near": (600, {80}),
        "open_drawer": (189, {113}),
        "close_drawer": (189, {113}),
        "put_in_drawer": (189, {200}),
    },
    "widowx": {
        "carrot_on_plate": (24, {60}),
        "eggplant_in_basket": (24, {120}),
        "spoon_on_towel": (24, {60}),
        "stack_cube": (24, {60}),
    },
}


@pytest.mark.parametrize("protocol", ["vm", "va", "widowx"])
def test_every_protocol_has_its_published_trials(protocol: Any) -> None:
    trials = Simpler(protocol=protocol).trials()
    found = {}
    for task in dict.fromkeys(trial.task for trial in trials):
        limits = {one.max_steps for one in configurations(protocol, task)}
        found[task] = (sum(trial.task == task for trial in trials), limits)
    assert found == PUBLISHED[protocol]
    assert len({trial.configuration for trial in trials}) == len(trials)
    assert len({trial.key for trial in trials}) == len(trials)


def test_released_repeats_are_24_configurations() -> None:
    trials = Simpler(protocol="widowx", tasks="carrot_on_plate", repeats=6).trials()
    assert len({trial.key for trial in trials}) == len({trial.seed for trial in trials}) == 144
    assert len({trial.configuration for trial in trials}) == 24


def test_part_of_a_protocol_can_be_played() -> None:
    suite = Simpler(protocol="vm", tasks="0,put_in_drawer", configurations="0-1,200")
    assert [(trial.task, trial.index) for trial in suite.trials()] == [
        *(("pick_coke_can", index) for index in (0, 1, 200)),
        *(("put_in_drawer", index) for index in (0, 1)),  # it has but 108
    ]
    with pytest.raises(SuiteError):
        Simpler(protocol="vm", configurations="300").trials()
    with pytest.raises(SuiteError):
        Simpler(tasks="pick_coke_can").trials()  # widowx has none
    with pytest.raises(SuiteError):
        Simpler(repeats=0)


def test_drawers_count_once_in_the_mean() -> None:
    assert Simpler(protocol="va").groups() == {"drawer": ["open_drawer", "close_drawer"]}
    assert Simpler(protocol="va", tasks="move_near").groups() == {}
    assert Simpler().groups() == {}


@pytest.mark.parametrize(
    ("options", "label"),
    [
        ({"protocol": "vm"}, "simpler-vm"),
        ({"protocol": "vm", "shader": "raster"}, "simpler-vm+raster"),
        ({"protocol": "vm", "shader": "raster", "tasks": "move_near"}, "simpler-vm"),
        ({"protocol": "vm", "arena": "box"}, "simpler-vm-standin"),
        ({"protocol": "vm", "arena": "box", "tasks": "open_drawer"}, "simpler-vm"),
        (
            {"protocol": "vm", "arena": "box", "shader": "raster"},
            "simpler-vm-standin+raster",
        ),
        ({"protocol": "va"}, "simpler-va"),
        ({"protocol": "va", "arena": "box"}, "simpler-va-approx"),
        ({"shader": "raster"}, "simpler-widowx"),
        ({"arena": "box"}, "simpler-widowx-standin"),
    ],
)
def test_label_names_what_differs_from_the_protocol(options: Any, label: str) -> None:
    suite = Simpler(**options)
    assert suite.label == label
    assert ("box table" in suite.notes[0]) == ("-" in label.removeprefix("simpler-"))


class FakeEnvironment:
    """An environment that is done when told to; its instruction changes at that step."""

    def __init__(self) -> None:
        self.actions: list[np.ndarray] = []
        self.resets: list[tuple[int, dict[str, Any]]] = []
        self.done_at, self.up_at, self.closed = 3, 10**9, False
        self.agent = {"eef_pos": np.array([0.1, 0.2, 0.3, 1, 0, 0, 0, 0.75])}

    @property
    def unwrapped(self) -> "FakeEnvironment":
        return self

    def get_language_instruction(self) -> str:
        return "open top drawer" if not self.actions else "place apple into top drawer"

    def reset(
        self, *, seed: int, options: dict[str, Any]
    ) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        self.resets.append((seed, options))
        self.actions = []
        return self._observation(), {}

    def step(self, action: np.ndarray) -> tuple[Mapping[str, Any], float, bool, bool, object]:
        self.actions.append(action)
        count = len(self.actions)
        return self._observation(), 0.0, count == self.done_at, count >= self.up_at, {}

    def close(self) -> None:
        self.closed = True

    def _observation(self) -> Mapping[str, Any]:
        cameras = {"overhead_camera": (512, 640), "3rd_view_camera": (480, 640)}
        pictures = {name: {"rgb": np.zeros((*size, 3), np.uint8)} for name, size in cameras.items()}
        return {"image": pictures, "agent": self.agent}


def _crop(image: np.ndarray, height: int, width: int) -> np.ndarray:
    return image[:height, :width]


class Workshop:
    """Builds fakes and remembers what for."""

    def __init__(self) -> None:
        self.built: list[tuple[Configuration, FakeEnvironment]] = []

    def build(self, wanted: Configuration) -> FakeEnvironment:
        self.built.append((wanted, FakeEnvironment()))
        return self.built[-1][1]

    def scene(self, protocol: Any, task: str) -> SimplerScene:
        return SimplerScene(task, configurations(protocol, task), self.build, _crop)


@pytest.fixture
def shop() -> Workshop:
    return Workshop()


def _trial(task: str, index: int) -> Trial:
    return Trial(task=task, index=index, seed=0, configuration="")


STILL = np.array([0, 0, 0, 0, 0, 0, 1], np.float32)


def test_success_is_done_at_any_step(shop: Workshop) -> None:
    scene = shop.scene("widowx", "stack_cube")
    scene.reset(_trial("stack_cube", 0))
    steps = 0
    while not scene.finished:
        scene.act(STILL)
        steps += 1
    assert (steps, scene.stages) == (3, 1)
    scene.reset(_trial("stack_cube", 1))
    assert (scene.finished, scene.stages, scene.observe().stamp) == (False, 0, 0)


@pytest.mark.parametrize(("task", "limit"), [("stack_cube", 60), ("eggplant_in_basket", 120)])
def test_steps_run_out(shop: Workshop, task: str, limit: int) -> None:
    scene = shop.scene("widowx", task)
    scene.reset(_trial(task, 0))
    shop.built[0][1].done_at = 0
    for step in range(limit):
        assert not scene.finished, step
        scene.act(STILL)
    assert (scene.finished, scene.stages) == (True, 0)


def test_environment_that_is_over_ends_the_trial(shop: Workshop) -> None:
    scene = shop.scene("widowx", "stack_cube")
    scene.reset(_trial("stack_cube", 0))
    shop.built[0][1].up_at = 1
    scene.act(STILL)
    assert (scene.finished, scene.stages) == (True, 0)


@pytest.mark.parametrize(
    ("protocol", "task", "spec"),
    [("widowx", "stack_cube", SPEC), ("vm", "move_near", GOOGLE_SPEC)],
)
def test_observation_is_what_the_body_promises(
    shop: Workshop, protocol: Any, task: str, spec: Any
) -> None:
    scene = shop.scene(protocol, task)
    assert scene.spec.cameras == spec.cameras
    scene.reset(_trial(task, 0))
    seen = scene.observe()
    (camera,) = scene.spec.cameras
    assert seen.images[camera.name].shape == (camera.height, camera.width, 3)
    assert seen.state.shape == (len(scene.spec.state_names),)
    assert seen.instruction == "open top drawer"
    scene.act(STILL)
    assert scene.observe().instruction == "place apple into top drawer"
    scene.blind = True
    assert scene.observe().images == {}


def test_environment_is_kept_while_only_poses_change(shop: Workshop) -> None:
    scene = shop.scene("vm", "pick_coke_can")
    for index in (0, 24, 25, 26):  # 25 places, then the next way of lying
        scene.reset(_trial("pick_coke_can", index))
    assert [dict(one.options) for one, _ in shop.built] == [
        {"lr_switch": True, "urdf_version": None},
        {"upright": True, "urdf_version": None},
    ]
    assert [environment.closed for _, environment in shop.built] == [True, False]
    seeds = [seed for _, environment in shop.built for seed, _ in environment.resets]
    assert seeds == [RESET_SEED] * 4
    scene.close()
    assert shop.built[1][1].closed


def test_repeat_begins_like_the_first(shop: Workshop) -> None:
    scene = shop.scene("widowx", "stack_cube")
    scene.reset(_trial("stack_cube", 5))
    scene.reset(_trial("stack_cube", 5 + 24))
    first, second = shop.built[0][1].resets
    assert first[1]["obj_init_options"] == second[1]["obj_init_options"] == {"episode_id": 5}


def test_robot_faces_its_table_with_the_published_yaw() -> None:
    one = configurations("vm", "move_near")[0]
    robot = reset_options(one)["robot_init_options"]
    assert robot["init_xy"].tolist() == [0.35, 0.21]
    forward = quaternion_to_matrix(robot["init_rot_quat"])[:, 0]
    np.testing.assert_allclose(forward, [-np.cos(-0.09), -np.sin(-0.09), 0], atol=1e-12)


def test_tool_that_is_not_told_names_the_fork(shop: Workshop) -> None:
    scene = shop.scene("widowx", "stack_cube")
    scene.reset(_trial("stack_cube", 0))
    shop.built[0][1].agent.clear()
    with pytest.raises(SuiteError, match="allenzren/SimplerEnv"):
        scene.observe()


def test_there_is_no_expert(shop: Workshop) -> None:
    with pytest.raises(SuiteError, match="no scripted player"):
        shop.scene("widowx", "stack_cube").expert()
