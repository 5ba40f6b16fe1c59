"""The bridge speaks lerobot's interface, faked here: names, units, cameras, stop."""

import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from bodies import ARM, image

from takt.embodiments import load_embodiment
from takt.embodiments.body_file import load_driver, load_limits
from takt.embodiments.driver import DriverError
from takt.embodiments.lerobot_driver import LeRobotDriver
from takt.embodiments.slot_map import EmbodimentFileError
from takt.types import ActionSpace, EmbodimentSpec

EXAMPLE = Path(__file__).parents[2] / "examples" / "so101.toml"


class FakeLeRobotCamera:
    def __init__(self) -> None:
        self.reads: list[float] = []

    def async_read(self, timeout_ms: float = 200) -> np.ndarray:
        self.reads.append(timeout_ms)
        return image(9)


class FakeLeRobot:
    """The interface of lerobot's `Robot`, 0.4 to 0.6: one arm in degrees, a gripper, a base."""

    def __init__(self, keys: tuple[str, ...] = ("shoulder.pos", "elbow.pos")) -> None:
        self.cameras = {"front": FakeLeRobotCamera(), "wrist": FakeLeRobotCamera()}
        self.measured = dict.fromkeys(keys, 90.0)
        self.sent: list[dict[str, float]] = []
        self.log: list[str] = []
        self.is_calibrated = True

    @property
    def observation_features(self) -> dict:
        return dict.fromkeys(self.measured, float) | dict.fromkeys(self.cameras, (4, 6, 3))

    @property
    def action_features(self) -> dict:
        return dict.fromkeys(self.measured, float)

    def connect(self, calibrate: bool = True) -> None:
        self.log.append(f"connect {calibrate} {len(self.cameras)}")

    def get_observation(self) -> dict:
        return self.measured | {name: c.async_read() for name, c in self.cameras.items()}

    def send_action(self, action: dict[str, float]) -> dict[str, float]:
        self.sent.append(action)
        return action

    def disconnect(self) -> None:
        self.log.append(f"disconnect {len(self.cameras)}")


def spec_of(names: tuple[str, ...], units: tuple[str, ...]) -> EmbodimentSpec:
    space = ActionSpace(
        names=names,
        units=units,
        low=np.full(len(names), -4, np.float32),
        high=np.full(len(names), 4, np.float32),
    )
    wide = tuple(range(len(names)))
    return replace(ARM, action_space=space, slots=wide, relative=(False,) * len(names))


def test_joints_are_converted_and_cameras_are_waited_for_elsewhere() -> None:
    robot = FakeLeRobot()
    front = robot.cameras["front"]
    driver = LeRobotDriver(robot, ARM)
    driver.connect()
    sample = driver.read()
    np.testing.assert_allclose(sample.state, np.pi / 2, rtol=1e-6)
    assert front.reads == [], "joints are read without waiting for a camera"
    frame = driver.cameras["front"].read()
    assert frame.image.max() == 9
    assert 0 <= time.monotonic() - frame.stamp < 1
    driver.command(np.array([np.pi, -np.pi / 2], np.float32))
    assert robot.sent[-1] == pytest.approx({"shoulder.pos": 180, "elbow.pos": -90}, rel=1e-5)
    driver.stop()
    assert robot.sent[-1] == {"shoulder.pos": 90.0, "elbow.pos": 90.0}
    driver.cameras["front"].close()
    with pytest.raises(DriverError, match="closed"):
        driver.cameras["front"].read()
    driver.close()
    driver.close()
    assert robot.log == ["connect False 2", "disconnect 2"]


def test_speeds_stop_and_other_units_pass_unchanged() -> None:
    robot = FakeLeRobot(("gripper.pos", "x.vel"))
    driver = LeRobotDriver(robot, spec_of(("gripper", "x.vel"), ("1", "m/s")))
    driver.connect()
    assert driver.read().state.tolist() == [90.0, 90.0]
    driver.stop()
    assert robot.sent[-1] == {"gripper.pos": 90.0, "x.vel": 0.0}


def test_stop_sends_no_arm_back_to_where_it_was_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    robot = FakeLeRobot()
    driver = LeRobotDriver(robot, ARM)
    driver.connect()
    driver.read()
    driver.command(np.zeros(2, np.float32))
    monkeypatch.setattr("takt.embodiments.lerobot_driver.FRESH_S", -1.0)
    driver.stop()
    assert robot.sent[-1] == {"shoulder.pos": 0.0, "elbow.pos": 0.0}


def test_what_is_not_measured_is_held_where_it_was_sent() -> None:
    robot = FakeLeRobot()
    driver = LeRobotDriver(robot, ARM)
    driver.connect()
    driver.command(np.zeros(2, np.float32))
    robot.measured["elbow.pos"] = float("nan")
    driver.read()
    driver.stop()
    assert robot.sent[-1] == {"shoulder.pos": 90.0, "elbow.pos": 0.0}


def test_the_arms_of_a_pair_do_not_wait_for_their_cameras_either() -> None:
    pair, arm = FakeLeRobot(), FakeLeRobot()
    pair.left_arm = arm  # pyright: ignore[reportAttributeAccessIssue]
    driver = LeRobotDriver(pair, ARM)
    driver.connect()
    assert (pair.cameras, arm.cameras) == ({}, {})
    driver.close()
    assert len(arm.cameras) == 2


def test_stop_does_not_wait_for_ever_on_a_stuck_bus() -> None:
    robot, release = FakeLeRobot(), threading.Event()
    driver = LeRobotDriver(robot, ARM)
    driver.connect()
    driver.read()

    def hang(action: dict[str, float]) -> dict[str, float]:
        if not robot.sent:
            robot.sent.append(action)
            release.wait(5)
        robot.sent.append(action)
        return action

    robot.send_action = hang  # pyright: ignore[reportAttributeAccessIssue]
    stuck = threading.Thread(target=driver.command, args=(np.zeros(2, np.float32),))
    stuck.start()
    while not robot.sent:
        time.sleep(0.001)
    driver.stop()
    assert robot.sent[-1] == {"shoulder.pos": 90.0, "elbow.pos": 90.0}
    release.set()
    stuck.join()


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("shoulder", "knee"), r"features.*elbow\.pos.*knee"),
        (("shoulder",), r"axis for each of lerobot's \['elbow\.pos'\]"),
    ],
)
def test_axes_must_be_the_robots(names: tuple[str, ...], says: str) -> None:
    with pytest.raises(DriverError, match=says):
        LeRobotDriver(FakeLeRobot(), spec_of(names, ("rad",) * len(names)))


def test_an_uncalibrated_robot_is_refused_and_released() -> None:
    robot = FakeLeRobot()
    robot.is_calibrated = False
    driver = LeRobotDriver(robot, ARM)
    with pytest.raises(DriverError, match="lerobot-calibrate"):
        driver.connect()
    driver.close()
    assert robot.log[-1] == "disconnect 2"


def test_lerobot_is_asked_only_when_a_robot_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EmbodimentFileError, match=r"\.\[lerobot\]"):
        load_driver(EXAMPLE)
    made = fake_lerobot(monkeypatch)
    driver = load_driver(EXAMPLE)
    assert driver.spec.name == "so101"
    assert set(driver.cameras) == {"front"}
    kind, raw = made[0]
    assert kind == "the config"
    assert raw["type"] == "so101_follower"
    assert raw["cameras"]["front"]["index_or_path"] == 0
    limits = load_limits(EXAMPLE, driver.spec)
    assert limits.acceleration is not None
    assert limits.acceleration[-1] == np.inf


def fake_lerobot(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict]]:
    """Modules of lerobot's names; what its robots were made from."""
    joints = [f"{axis}.pos" for axis in load_embodiment(EXAMPLE).action_space.names]
    made: list[tuple[str, dict]] = []

    def make(config: tuple[str, dict]) -> FakeLeRobot:
        made.append(config)
        robot = FakeLeRobot(tuple(joints))
        robot.cameras = {name: FakeLeRobotCamera() for name in config[1]["cameras"]}
        return robot

    robots, draccus = ModuleType("lerobot.robots"), ModuleType("draccus")
    monkeypatch.setattr(robots, "RobotConfig", "the config", raising=False)
    monkeypatch.setattr(robots, "make_robot_from_config", make, raising=False)
    monkeypatch.setattr(draccus, "decode", lambda kind, raw: (kind, raw), raising=False)
    modules = {"lerobot.robots": robots, "draccus": draccus}
    names = ("lerobot", "lerobot.robots.so_follower", "lerobot.cameras", "lerobot.cameras.opencv")
    for name, module in (modules | {name: ModuleType(name) for name in names}).items():
        monkeypatch.setitem(sys.modules, name, module)
    return made
