import os
import pickle
import runpy
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from takt.benchmarks.suites.environment import environments_folder
from takt.benchmarks.suites.libero import Libero
from takt.benchmarks.suites.libero_files import has_stand_ins, read_init_states, task_names
from takt.benchmarks.suites.libero_perturbation import Kind, Perturbation
from takt.benchmarks.suites.libero_scene import (
    IDLE_ACTION,
    IDLE_STEPS,
    LiberoScene,
    instruction_of,
    rotation_vector,
)
from takt.benchmarks.suites.suite import SuiteError, Trial

PYTHON = environments_folder() / "libero" / "bin" / "python"
INSTALLED = next(iter(PYTHON.parents[1].glob("lib/python3*/site-packages/libero/libero")), None)
needs_libero = pytest.mark.skipif(
    INSTALLED is None, reason="TAKT_ENVIRONMENTS has no environment of libero"
)


def asset_tree(folder: Path, *, stand_ins: bool) -> Path:
    assets = folder / "libero_assets" / "assets"
    for name in (
        "scenes/kitchen_background/visual/kitchen_background_vis.msh",
        "scenes/living_room/visual/living_room_vis.msh",
        "stable_scanned_objects/basket/visual/basket_vis.msh",
        "stable_hope_objects/milk.xml",
    ):
        (assets / name).parent.mkdir(parents=True)
        with (assets / name).open("wb") as file:
            file.truncate(900 if stand_ins else 4_000_000)
    return assets


def init_file(path: Path, content: object) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(content, protocol=2))
    return path


class Malicious:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("ran",)


class FakeSimulation:
    """LIBERO's `ControlEnv`: the first sensor counts steps; solved by the fifth after reset."""

    def __init__(self) -> None:
        self.actions: list[np.ndarray] = []
        self.robots = [SimpleNamespace(_ref_joint_pos_indexes=[0])]
        self.sim = SimpleNamespace(model=SimpleNamespace(_model=None))

    def reset(self) -> None:
        self.draw = float(np.random.uniform())

    def set_init_state(self, state: np.ndarray) -> dict[str, np.ndarray]:
        self.state = state
        self.actions = []
        return self._sense()

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, object]:
        self.actions.append(action)
        return self._sense(), 0.0, len(self.actions) == IDLE_STEPS + 5, {}

    def _sense(self) -> dict[str, np.ndarray]:
        return {
            "robot0_eef_pos": np.array([len(self.actions), 0.0, 0.0]),
            "robot0_eef_quat": np.array([0.0, 0.0, np.sin(0.2), np.cos(0.2)]),
            "robot0_gripper_qpos": np.array([0.03, -0.03]),
        }


class FakeEye(SimpleNamespace):
    def look(self) -> dict[str, np.ndarray]:
        picture = np.zeros((256, 256, 3), np.uint8)
        return {"base": picture, "wrist_left": picture}


def fake_scene(max_steps: int = 280, perturb: Kind = "none") -> tuple[LiberoScene, FakeSimulation]:
    simulation = FakeSimulation()
    scene = LiberoScene(
        simulation,
        FakeEye(blind=False, age=0.004),  # pyright: ignore[reportArgumentType]
        task="pick_up_the_milk_and_place_it_in_the_basket",
        init_states=np.arange(100.0).reshape(50, 2),
        max_steps=max_steps,
        perturbation=Perturbation(perturb),
    )
    return scene, simulation


def trial(index: int) -> Trial:
    return Trial(task="milk", index=index, seed=0, configuration="")


def test_trials_are_the_chosen_tasks_from_the_chosen_initial_states() -> None:
    trials = Libero(suite="object", tasks="0,4", init_states="0-2").trials()
    assert [t.task.split("_")[3] for t in trials] == ["alphabet"] * 3 + ["ketchup"] * 3
    assert [t.index for t in trials] == [0, 1, 2] * 2
    assert len({t.configuration for t in trials}) == 6
    assert len(Libero(suite="10").trials()) == 500
    with pytest.raises(SuiteError, match="up to 49"):
        Libero(init_states="50").trials()


@pytest.mark.parametrize(
    ("stand_ins", "render", "label"),
    [
        (False, "default", "libero"),
        (True, "default", "libero-standin"),
        (True, "fast", "libero-standin+fastrender"),
    ],
)
def test_the_label_is_read_off_the_assets(
    tmp_path: Path, stand_ins: bool, render: str, label: str
) -> None:
    asset_tree(tmp_path, stand_ins=stand_ins)
    suite = Libero(assets=str(tmp_path), render=render)  # pyright: ignore[reportArgumentType]
    assert suite.label == label
    assert any("stand-in visuals" in note for note in suite.notes) == stand_ins


def test_what_is_perturbed_is_named(tmp_path: Path) -> None:
    asset_tree(tmp_path, stand_ins=False)
    suite = Libero(assets=str(tmp_path), perturb="camera", render="fast")
    assert suite.label == "libero+camera+fastrender"
    assert any("in ranges of ours" in note for note in suite.notes)
    with pytest.raises(SuiteError, match="camera, light"):
        Perturbation("rain")  # pyright: ignore[reportArgumentType]


def test_a_list_of_stand_ins_beside_the_assets_is_believed(tmp_path: Path) -> None:
    assets = asset_tree(tmp_path, stand_ins=False)
    assert not has_stand_ins(assets)
    (assets.parent / "standins.json").touch()
    assert has_stand_ins(assets)


def test_without_assets_it_says_what_to_get(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("TAKT_ASSETS", raising=False)
    with pytest.raises(SuiteError, match="lerobot/libero-assets"):
        _ = Libero().label


def test_initial_states_are_read_and_nothing_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = np.random.default_rng(0).normal(size=(50, 110))
    np.testing.assert_array_equal(read_init_states(init_file(tmp_path / "good", table)), table)
    for name, content in {"evil": Malicious(), "int": table.astype(int), "list": [1.0]}.items():
        with pytest.raises(SuiteError, match="not a pickled table of float64"):
            read_init_states(init_file(tmp_path / name, content))
    (tmp_path / "cut").write_bytes((tmp_path / "good").read_bytes()[:100])
    with pytest.raises(SuiteError, match="not a pickled table"):
        read_init_states(tmp_path / "cut")
    assert not (tmp_path / "ran").exists()


def test_a_task_is_told_as_the_released_evaluation_tells_it() -> None:
    assert instruction_of("put_the_bowl_on_the_stove") == "Put the bowl on the stove."
    scene = "LIVING_ROOM_SCENE2_put_both_the_alphabet_soup_and_the_tomato_sauce_in_the_basket"
    assert instruction_of(scene).startswith("Put both the alphabet soup and the")


def test_a_trial_begins_after_idle_steps_from_its_initial_state() -> None:
    scene, simulation = fake_scene()
    scene.reset(trial(3))
    first = simulation.draw
    np.testing.assert_array_equal(simulation.state, [6, 7])
    np.testing.assert_array_equal(simulation.actions, [IDLE_ACTION] * IDLE_STEPS)
    seen = scene.observe()
    assert seen.stamp == 0
    assert seen.image_stamps == {"base": -0.004, "wrist_left": -0.004}
    np.testing.assert_allclose(seen.state, [10, 0, 0, 0, 0, 0.4, 0.03, -0.03], atol=1e-6)
    scene.reset(trial(4))
    assert simulation.draw == first


def test_it_ends_when_solved_or_out_of_steps_and_success_stays() -> None:
    scene, _ = fake_scene()
    scene.reset(trial(0))
    for _ in range(5):
        assert not scene.finished
        scene.act(IDLE_ACTION)
    assert scene.finished
    scene.act(IDLE_ACTION)
    assert scene.stages == 1
    short, _ = fake_scene(max_steps=2)
    short.reset(trial(0))
    short.act(IDLE_ACTION)
    short.act(IDLE_ACTION)
    assert short.finished
    assert short.stages == 0


def test_a_blind_player_gets_no_images() -> None:
    scene, _ = fake_scene()
    scene.blind = True
    scene.reset(trial(0))
    assert scene.observe().images == {}


def model() -> SimpleNamespace:
    """MuJoCo's, with one camera, two lights and a floor."""
    return SimpleNamespace(
        nlight=2,
        nmat=2,
        cam_pos=np.array([[1.0, 0.0, 0.5]]),
        cam_quat=np.array([[1.0, 0.0, 0.0, 0.0]]),
        light_diffuse=np.full((2, 3), 0.5),
        light_ambient=np.full((2, 3), 0.5),
        mat_rgba=np.ones((2, 4)),
        camera=lambda name: SimpleNamespace(id=0),
        material=lambda at: SimpleNamespace(name=("floor_mat", "milk")[at]),
    )


@pytest.mark.parametrize(
    ("kind", "field"),
    [("camera", "cam_pos"), ("light", "light_diffuse"), ("background", "mat_rgba")],
)
def test_a_perturbed_scene_is_drawn_by_the_trial_from_the_original(kind: Kind, field: str) -> None:
    change, changed = Perturbation(kind), model()
    seen = []
    for seed in (1, 2, 1):
        change.begin(seed, changed)
        seen.append(getattr(changed, field).copy())
    assert not np.array_equal(seen[0], getattr(model(), field))
    assert not np.array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(seen[0], seen[2])
    np.testing.assert_array_equal(changed.mat_rgba[1], 1)  # the milk keeps its colour


def test_a_camera_that_moves_still_looks_at_the_middle() -> None:
    changed = model()
    Perturbation("camera").begin(3, changed)
    w, _, _, z = changed.cam_quat[0]
    x, y, height = changed.cam_pos[0]
    assert 2 * np.arctan2(z, w) == pytest.approx(np.arctan2(y, x))
    assert height == 0.5


def test_start_words_and_pictures_are_perturbed_only_when_asked() -> None:
    words, simulation = fake_scene(perturb="language")
    words.reset(trial(3))
    np.testing.assert_array_equal(simulation.state, [6, 7])
    assert "pick up the milk and place it in the basket" in words.observe().instruction
    grain, _ = fake_scene(perturb="noise")
    grain.reset(trial(3))
    assert grain.observe().images["base"].std() > 1
    state = Perturbation("robot").initial(np.zeros(4), np.array([1, 2]))
    assert (state != 0).tolist() == [False, True, True, False]


def test_rotation_vectors_are_those_of_the_released_evaluation() -> None:
    half = np.array([1.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(rotation_vector(half), [np.pi, 0, 0])
    np.testing.assert_allclose(rotation_vector(np.array([0.0, 0, 0, 1])), 0)
    np.testing.assert_allclose(  # not the short way round
        rotation_vector(np.array([0, 0, np.sin(2.0), np.cos(2.0)])), [0, 0, 4.0]
    )


@needs_libero
def test_the_installed_package_has_the_same_tasks_and_readable_initial_states() -> None:
    assert INSTALLED is not None
    tasks = runpy.run_path(str(INSTALLED / "benchmark" / "libero_suite_task_map.py"))
    for suite in ("spatial", "object", "goal", "10", "90"):
        assert task_names(suite) == tasks["libero_task_map"][f"libero_{suite}"]
        for task in task_names(suite)[:3]:
            path = INSTALLED / "init_files" / f"libero_{suite}" / f"{task}.pruned_init"
            states = read_init_states(path)
            assert len(states) == 50
            assert (states[:, 0] == 0).all()  # time
