"""SimplerEnv's environments: how they are asked for, the box arena, what is said of what lacks."""

import json
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from takt.benchmarks.suites import simpler, simpler_checks
from takt.benchmarks.suites.simpler import (
    Simpler,
    check_source,
    limitations,
    missing_prerequisites,
    source_paths,
)
from takt.benchmarks.suites.simpler_arena import use_box_arena
from takt.benchmarks.suites.simpler_checks import EXTENSION
from takt.benchmarks.suites.suite import SuiteError, Trial


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What gymnasium was asked for; it and ManiSkill2_real2sim are fakes."""
    asked: list[tuple[str, dict[str, Any]]] = []

    def make(name: str, **options: Any) -> Any:
        asked.append((name, options))
        return SimpleNamespace(reset=lambda seed, options: ({}, {}), close=lambda: None)

    package = ModuleType("mani_skill2_real2sim")
    origin = str(tmp_path / "mani_skill2_real2sim" / "__init__.py")
    package.__spec__ = ModuleSpec(package.__name__, None, origin=origin)
    gymnasium = ModuleType("gymnasium")
    gymnasium.__dict__["make"] = make
    for module in (package, ModuleType("mani_skill2_real2sim.envs"), gymnasium):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    # set first, so that what `open` sets is taken back
    monkeypatch.setenv(simpler_checks.ASSETS, str(tmp_path / "data"))
    stages = tmp_path / "data" / "hab2_bench_assets" / "stages"
    stages.mkdir(parents=True)
    (stages / "bridge_table_1_v1.glb").touch()
    monkeypatch.setattr(simpler, "has_gpu", lambda: False)
    return asked


def _reset(suite: Simpler, task: str) -> None:
    suite.open(task).reset(Trial(task=task, index=0, seed=0, configuration=""))


def test_environment_is_built_as_the_published_scripts_do(made: list, tmp_path: Path) -> None:
    _reset(Simpler(), "carrot_on_plate")
    ((name, options),) = made
    assert name == "PutCarrotOnPlateInScene-v0"
    assert options == {
        **{"obs_mode": "rgbd", "robot": "widowx", "sim_freq": 500, "control_freq": 5},
        "control_mode": "arm_pd_ee_target_delta_pose_align2_gripper_pd_joint_pos",
        **{"max_episode_steps": 60, "scene_name": "bridge_table_1_v1"},
        "camera_cfgs": {"add_segmentation": True},
        "rgb_overlay_path": str(tmp_path / "data" / "real_inpainting" / "bridge_real_eval_1.png"),
        "rgb_overlay_cameras": ["3rd_view_camera"],
    }


def test_drawers_are_ray_traced_unless_rastered(
    made: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = Simpler(protocol="vm")
    with pytest.raises(SuiteError, match="--shader raster"):
        suite.open("open_drawer")
    _reset(Simpler(protocol="vm", shader="raster"), "open_drawer")
    monkeypatch.setattr(simpler, "has_gpu", lambda: True)
    _reset(suite, "open_drawer")
    assert [options.get("shader_dir") for _, options in made] == [None, "rt"]


def test_missing_stage_says_what_to_do(made: list) -> None:
    with pytest.raises(SuiteError, match=r"bridge_table_1_v2.glb.*--arena box"):
        Simpler().open("eggplant_in_basket")


def test_without_the_simulator_setup_is_named() -> None:
    with pytest.raises(SuiteError, match="bench setup simpler --source"):
        Simpler().open("carrot_on_plate")


class FakeBuilder:
    """Keeps the boxes that an actor is made of."""

    def __init__(self) -> None:
        self.visuals: list[dict[str, Any]] = []
        self.collisions: list[dict[str, Any]] = []

    def add_box_visual(self, **box: Any) -> None:
        self.visuals.append(box)

    def add_box_collision(self, **box: Any) -> None:
        self.collisions.append(box)

    def build_static(self, name: str) -> "FakeBuilder":
        self.name = name
        return self


def _room(scene_name: str | None) -> Any:
    class Room:
        robot_uid, scene_table_height, arena = "google_robot_static", 0.87, None
        _scene = SimpleNamespace(create_actor_builder=FakeBuilder)

        def __init__(self) -> None:
            self.scene_name = scene_name

        def _load_arena_helper(self, add_collision: bool = True) -> None:
            self.arena = "original"

    use_box_arena(Room, lambda place: SimpleNamespace(p=place))
    return Room()


def test_box_arena_is_a_table_at_the_right_height_that_carries() -> None:
    room = _room("google_pick_coke_can_1_v4")
    room._load_arena_helper()
    assert room.arena.name == "arena"  # the overlay must not cut it out
    table = room.arena.collisions[1]
    assert table["pose"].p[2] + table["half_size"][2] == pytest.approx(0.87)
    for x, y in ((-0.35, -0.02), (-0.12, 0.42)):  # where cans are put
        within = np.abs(np.array([x, y]) - table["pose"].p[:2]) < table["half_size"][:2]
        assert within.all()
    assert table["pose"].p[0] + table["half_size"][0] < 0.35 - 0.3  # the robot's base is there
    assert len(room.arena.visuals) == 2


def test_box_arena_leaves_cabinets_and_plain_floors_alone() -> None:
    room = _room("frl_apartment_stage_simple")
    room._load_arena_helper(add_collision=False)
    assert (len(room.arena.visuals), room.arena.collisions) == (1, [])
    plain = _room("dummy_drawer")
    plain._load_arena_helper(add_collision=False)
    assert plain.arena == "original"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder laid out as SimplerEnv with its submodule."""
    monkeypatch.delenv(simpler_checks.ASSETS, raising=False)
    for name in simpler_checks._FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "ManiSkill2_real2sim" / "data" / "real_inpainting").mkdir(parents=True)
    return tmp_path


def test_source_is_checked(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_source(checkout) == []
    assert [path.name for path in source_paths(checkout)] == [
        checkout.name,
        "ManiSkill2_real2sim",
    ]
    monkeypatch.setenv(simpler_checks.ASSETS, str(checkout / "elsewhere"))
    (missing,) = check_source(checkout)
    assert "real_inpainting" in missing
    assert "git clone" in check_source(None)[0]
    assert all("submodule" in each for each in check_source(checkout / "simpler_env"))


def test_what_changes_the_label_is_named(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simpler_checks, "has_gpu", lambda: False)
    found = limitations(checkout)
    assert sum("--arena box" in each for each in found) == 10
    assert "--shader raster" in found[-1]


@pytest.fixture
def vulkan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without a GPU on which everything that SAPIEN needs has been unpacked."""
    (tmp_path / "libvulkan.so.1").touch()
    (tmp_path / "libvulkan_lvp.so").write_bytes(b"\0Mesa 25.0.7-2\0")
    driver = {"ICD": {"library_path": "libvulkan_lvp.so", "api_version": "1.4.305"}}
    (tmp_path / "lvp_icd.json").write_text(json.dumps(driver))
    layers = tmp_path / "layers"
    layers.mkdir()
    (layers / "libhide.so").touch()
    layer = {
        **{"name": "VK_LAYER_LOCAL_hide", "library_path": "./libhide.so"},
        "device_extensions": [{"name": EXTENSION}],
    }
    (layers / "VkLayer_hide.json").write_text(json.dumps({"layer": layer}))
    monkeypatch.setattr(simpler_checks, "has_gpu", lambda: False)
    monkeypatch.setattr(simpler_checks.ctypes.util, "find_library", lambda name: None)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    monkeypatch.setenv("VK_ICD_FILENAMES", str(tmp_path / "lvp_icd.json"))
    monkeypatch.delenv("VK_DRIVER_FILES", raising=False)
    monkeypatch.setenv("VK_LAYER_PATH", str(layers))
    monkeypatch.setenv("VK_INSTANCE_LAYERS", "VK_LAYER_LOCAL_hide")
    monkeypatch.delenv(simpler_checks.ASSETS, raising=False)
    return tmp_path


def test_machine_with_everything_lacks_nothing(vulkan: Path) -> None:
    assert missing_prerequisites() == []


def test_each_prerequisite_is_named_when_missing(
    vulkan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (vulkan / "libvulkan_lvp.so").write_bytes(b"\0Mesa 22.3.6\0")
    (old,) = missing_prerequisites()
    assert "Mesa 25 or newer, found Mesa 22" in old
    (vulkan / "lvp_icd.json").unlink()
    (none,) = missing_prerequisites()
    assert "found none" in none
    (vulkan / "libvulkan.so.1").unlink()
    monkeypatch.delenv("VK_INSTANCE_LAYERS")
    monkeypatch.setenv(simpler_checks.ASSETS, str(vulkan))
    named = "\n".join(missing_prerequisites())
    for each in ("libvulkan1", simpler_checks.ASSETS, "Mesa 25", EXTENSION):
        assert each in named


def test_nvidia_driver_needs_neither_lavapipe_nor_the_layer(
    vulkan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VK_INSTANCE_LAYERS")
    (vulkan / "nvidia_icd.json").write_text("{}")
    monkeypatch.setenv("VK_ICD_FILENAMES", str(vulkan / "nvidia_icd.json"))
    assert len(missing_prerequisites()) == 2
    monkeypatch.setattr(simpler_checks, "has_gpu", lambda: True)
    assert missing_prerequisites() == []
