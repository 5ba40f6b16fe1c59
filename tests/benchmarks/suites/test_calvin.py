"""CALVIN: options, the scene and its making, on fakes of calvin_env."""

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from takt.benchmarks.suites.calvin import Calvin, check_source
from takt.benchmarks.suites.calvin_chains import initial_state
from takt.benchmarks.suites.calvin_scene import MAX_STEPS, CalvinScene, Simulator
from takt.benchmarks.suites.calvin_sequences import SUBTASKS, Chain
from takt.benchmarks.suites.suite import SuiteError

FIRST = Chain(
    condition={
        **{"led": 1, "lightbulb": 1, "slider": "left", "drawer": "open"},
        **{"red_block": "slider_left", "blue_block": "table", "pink_block": "slider_right"},
        "grasped": 0,
    },
    subtasks=(
        *("rotate_blue_block_right", "move_slider_right", "lift_red_block_slider"),
        *("place_in_slider", "turn_off_lightbulb"),
    ),
)


@pytest.mark.parametrize(
    ("suite", "label"),
    [
        (Calvin(), "calvin"),
        (Calvin(split="abc", renderer="tiny"), "calvin-tiny"),
        (Calvin(chains=20), "calvin-n20"),
        (Calvin(chains=20, renderer="tiny"), "calvin-tiny-n20"),
    ],
)
def test_label_names_what_differs_from_the_protocol(suite: Calvin, label: str) -> None:
    assert suite.label == label


def test_split_is_a_name_for_the_policy() -> None:
    assert Calvin(split="abc").notes[0].startswith("ABC->D: trained on ABC by the user's word")
    assert Calvin(split="abc").trials() == Calvin(split="abcd").trials()


@pytest.mark.parametrize("count", [0, 1001])
def test_chains_that_do_not_exist_are_refused(count: int) -> None:
    with pytest.raises(SuiteError, match="1 to 1000"):
        Calvin(chains=count)


class FakeCamera:
    """Counts its pictures."""

    def __init__(self, name: str, pixels: int) -> None:
        self.name, self.pixels, self.pictures = name, pixels, 0

    def render(self) -> np.ndarray:
        self.pictures += 1
        return np.full((self.pixels, self.pixels, 3), self.pictures, np.uint8)


class FakeTable:
    """What calvin_env's table does as far as the scene can tell; moving along x is all it knows."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.cameras: Sequence[Any] = (FakeCamera("static", 200), FakeCamera("gripper", 84))
        self.x, self.actions, self.closed = 0.0, [], False

    def reset(self, robot_obs: np.ndarray, scene_obs: np.ndarray) -> Mapping[str, Any]:
        self.began, self.x = (robot_obs, scene_obs), 0.0
        return self.get_obs()

    def step(self, action: np.ndarray) -> tuple[Mapping[str, Any], float, bool, Mapping[str, Any]]:
        assert action[6] in (-1, 1)  # as Robot.apply_action asserts
        self.x += action[0]
        self.actions.append(action.copy())
        action *= 0.02  # so does Robot.relative_to_absolute
        return self.get_obs(), 0.0, False, self.get_info()

    def get_obs(self) -> Mapping[str, Any]:
        return {
            "rgb_obs": {f"rgb_{camera.name}": camera.render() for camera in self.cameras},
            "robot_obs": np.array([self.x, *range(1, 15)], np.float64),
        }

    def get_info(self) -> Mapping[str, Any]:
        return {"x": self.x}

    def close(self) -> None:
        self.closed = True


class FakeOracle:
    """Every subtask is to get 2 further along x than where it began."""

    def get_task_info_for_set(
        self, start_info: Mapping, end_info: Mapping, task_filter: set[str]
    ) -> set:
        return task_filter if end_info["x"] - start_info["x"] >= 2 else set()


AHEAD = np.array([1, 0, 0, 0, 0, 0, 0.3], np.float32)
STILL = np.array([0, 0, 0, 0, 0, 0, -0.3], np.float32)


@pytest.fixture
def table() -> FakeTable:
    return FakeTable()


@pytest.fixture
def scene(table: FakeTable) -> CalvinScene:
    sentences = {name: f"please {name}" for name in SUBTASKS}
    simulator = Simulator(table=table, oracle=FakeOracle(), instructions=sentences)
    scene = CalvinScene(simulator, [FIRST])
    scene.reset(Calvin(chains=1).trials()[0])
    return scene


def test_chain_is_played_to_its_end(table: FakeTable, scene: CalvinScene) -> None:
    said = []
    while not scene.finished:
        said.append(scene.observe().instruction)
        scene.act(AHEAD)
    assert said == [f"please {name}" for name in FIRST.subtasks for _ in range(2)]
    assert (scene.stages, len(table.actions)) == (5, 10)
    np.testing.assert_array_equal(table.began[1], initial_state(FIRST.condition)[1])


def test_each_subtask_has_its_own_360_steps_and_failing_one_ends_it(scene: CalvinScene) -> None:
    for _ in range(MAX_STEPS - 2):
        scene.act(STILL)
    scene.act(AHEAD)
    scene.act(AHEAD)  # at the last step
    assert (scene.stages, scene.finished) == (1, False)
    for _ in range(MAX_STEPS):
        assert not scene.finished
        scene.act(STILL)
    assert (scene.stages, scene.finished) == (1, True)


def test_new_trial_forgets_the_last_one(scene: CalvinScene) -> None:
    for _ in range(3):
        scene.act(AHEAD)
    scene.reset(Calvin(chains=1).trials()[0])
    assert (scene.stages, scene.finished, scene.observe().stamp) == (0, False, 0)
    assert scene.observe().instruction == f"please {FIRST.subtasks[0]}"


def test_gripper_goes_by_its_sign_and_the_plan_stays_as_it_is(
    table: FakeTable, scene: CalvinScene
) -> None:
    plan = STILL.copy()
    scene.act(plan)
    np.testing.assert_array_equal(plan, STILL)
    assert table.actions[0][6] == -1


def test_who_begins_in_mid_chain_keeps_hold(scene: CalvinScene) -> None:
    initial = [scene.spec.action_space.initial]
    scene.act(STILL)
    initial.append(scene.spec.action_space.initial)
    assert [one[6] for one in initial if one is not None] == [1, -1]


def test_cameras_render_only_for_those_who_look(table: FakeTable, scene: CalvinScene) -> None:
    cameras = scene._cameras
    scene.act(STILL)
    assert [camera.pictures for camera in cameras] == [0, 0]
    seen = scene.observe()
    assert {name: image.shape for name, image in seen.images.items()} == {
        camera.name: (camera.height, camera.width, 3) for camera in scene.spec.cameras
    }
    np.testing.assert_array_equal(seen.state, np.arange(7))
    scene.blind = True
    assert scene.observe().images == {}
    assert [camera.pictures for camera in cameras] == [1, 1]


def test_there_is_no_expert(scene: CalvinScene) -> None:
    with pytest.raises(SuiteError, match="no scripted player"):
        scene.expert()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder laid out as mees/calvin_env, sentences and chains added."""
    root = tmp_path / "calvin_env"
    for name in (
        *("calvin_env/__init__.py", "calvin_env/envs/play_table_env.py"),
        *("conf/config_data_collection.yaml", "conf/tasks/new_playtable_tasks.yaml"),
        "data/calvin_table_D/urdf/calvin_table_D.urdf",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("{}")
    sentences = root / "annotations" / "new_playtable_validation.yaml"
    sentences.parent.mkdir()
    sentences.write_text(json.dumps({name: [f"do {name}"] for name in SUBTASKS}))
    chains = [[dict(FIRST.condition), list(FIRST.subtasks)]]
    (root / "eval_sequences.json").write_text(json.dumps(chains))
    return root


@pytest.fixture
def simulator(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Fakes of hydra, omegaconf and calvin_env in place of the installed ones."""
    told: dict[str, Any] = {}
    package = ModuleType("calvin_env")
    origin = str(checkout / "calvin_env" / "__init__.py")
    package.__spec__ = ModuleSpec("calvin_env", None, origin=origin)

    def compose(name: str, overrides: list[str]) -> SimpleNamespace:
        told["composed"] = (name, overrides)
        told["config"] = SimpleNamespace(env="table")
        return told["config"]

    def instantiate(what: object, **options: Any) -> object:
        if what == "table" and told.get("broken"):
            sys.exit()
        return FakeTable(**options) if what == "table" else FakeOracle()

    hydra = ModuleType("hydra")
    hydra.__dict__.update(
        initialize_config_dir=lambda folder, version_base: nullcontext(told.update(conf=folder)),
        compose=compose,
        utils=SimpleNamespace(instantiate=instantiate),
    )
    conf = ModuleType("omegaconf")
    conf.__dict__["OmegaConf"] = SimpleNamespace(load=lambda path: json.loads(path.read_text()))
    environments = ModuleType("calvin_env.envs.play_table_env")
    for module in (package, hydra, conf, ModuleType("calvin_env.envs"), environments):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.delenv("TAKT_ASSETS", raising=False)
    return told


def test_scene_is_made_as_upstream_makes_it(checkout: Path, simulator: dict[str, Any]) -> None:
    scene = Calvin().open("chain")
    assert simulator["conf"] == str(checkout / "conf")
    assert simulator["composed"] == (
        "config_data_collection",
        ["cameras=static_and_gripper", "scene=calvin_scene_D"],
    )
    assert simulator["config"].data_path == str(checkout / "data")
    assert scene._table.options == {  # pyright: ignore[reportAttributeAccessIssue]
        **{"show_gui": False, "use_vr": False, "use_scene_info": True},
        "use_egl": True,
    }
    scene.reset(Calvin(chains=1).trials()[0])
    assert scene.observe().instruction == f"do {FIRST.subtasks[0]}"


def test_tiny_renderer_is_asked_for(simulator: dict[str, Any]) -> None:
    table: Any = Calvin(renderer="tiny").open("chain")._table
    assert table.options["use_egl"] is False


def test_broken_egl_says_what_to_do(simulator: dict[str, Any]) -> None:
    simulator["broken"] = True
    with pytest.raises(SuiteError, match="--renderer tiny"):
        Calvin().open("chain")


def test_missing_sentences_say_where_they_are(checkout: Path, simulator: dict[str, Any]) -> None:
    (checkout / "annotations" / "new_playtable_validation.yaml").unlink()
    with pytest.raises(SuiteError, match="calvin_models/conf/annotations"):
        Calvin().open("chain")


def test_without_calvin_env_setup_is_named() -> None:
    with pytest.raises(SuiteError, match="bench setup calvin --source"):
        Calvin().open("chain")


def test_source_is_checked(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAKT_ASSETS", raising=False)
    assert check_source(checkout) == []
    (checkout / "conf" / "tasks" / "new_playtable_tasks.yaml").unlink()
    (missing,) = check_source(checkout)
    assert "new_playtable_tasks.yaml" in missing
    assert "git clone" in check_source(None)[0]
    assert "submodule" in check_source(checkout / "conf")[0]
