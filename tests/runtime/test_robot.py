"""A body made of a driver: senses, acts, refuses to move blind, and always stops."""

import re
import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn

import numpy as np
import pytest
from bodies import FakeDriver, SteadyCamera

from takt.embodiments.driver import DriverError
from takt.runtime import robot as robot_module
from takt.runtime.robot import CloseFailedError, Robot, StopFailedError
from takt.runtime.sensor_feed import SensorLostError
from takt.runtime.synchroniser import Patience


def a_driver() -> FakeDriver:
    cameras = {name: SteadyCamera(time.monotonic) for name in ("front", "wrist")}
    return FakeDriver(time.monotonic, cameras)


def test_it_observes_acts_and_is_released() -> None:
    driver = a_driver()
    with Robot(driver, patience=Patience(joints_s=10, cameras_s=10)) as robot:
        robot.act(np.array([0.5, -0.5]))
        deadline = time.monotonic() + 2.0
        while robot.observe().state[0] != 0.5 and time.monotonic() < deadline:
            time.sleep(0.005)
        seen = robot.observe()
        assert seen.state.tolist() == [0.5, -0.5]
        assert seen.stamp - max(seen.image_stamps.values()) < 1.0
        assert set(robot.timing()) == {"joints", "front", "wrist"}
        driver.touch = np.array([3.0], np.float32)
        while robot.touch() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        assert robot.touch() == pytest.approx([3.0])
    assert driver.stops == 1
    assert driver.closes == 1
    assert driver.commands[0].dtype == np.float32


def test_a_blind_body_is_not_moved() -> None:
    driver = a_driver()
    camera = driver.cameras["wrist"]
    assert isinstance(camera, SteadyCamera)
    with Robot(driver, patience=Patience(joints_s=10, cameras_s=0.05)) as robot:
        camera.unplugged = True
        time.sleep(0.1)
        with pytest.raises(SensorLostError, match="wrist"):
            robot.act(np.zeros(2))
        with pytest.raises(SensorLostError, match="wrist"):
            robot.observe()
        assert driver.commands == []
    assert driver.stops == 1


def test_a_sensor_that_never_begins_releases_everything() -> None:
    driver = a_driver()
    camera = driver.cameras["front"]
    assert isinstance(camera, SteadyCamera)
    camera.unplugged = True
    with (
        pytest.raises(SensorLostError, match="front"),
        Robot(driver, patience=Patience(first_s=0.1)),
    ):
        pytest.fail("it connected")
    assert (driver.stops, driver.closes) == (1, 1)


def test_stop_is_insisted_on_and_its_failure_is_loud() -> None:
    driver = a_driver()
    driver.stop_failures = 2
    Robot(driver).stop()
    assert driver.stops == 3
    driver.stops, driver.stop_failures = 0, 9
    with pytest.raises(StopFailedError, match=r"bus is busy.*CUT ITS POWER"):
        Robot(driver).stop()


def test_the_body_is_stopped_where_no_thread_can_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    driver = a_driver()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    Robot(driver).stop()
    assert driver.stops == 1


def test_a_stop_that_ends_its_own_thread_has_not_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = a_driver()
    monkeypatch.setattr(driver, "stop", lambda: sys.exit(1))
    with pytest.raises(StopFailedError, match="SystemExit.*CUT ITS POWER"):
        Robot(driver).stop()


def test_a_stop_that_hangs_is_as_loud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robot_module, "STOP_TIMEOUT_S", 0.02)
    driver, released = a_driver(), threading.Event()
    monkeypatch.setattr(driver, "stop", released.wait)
    robot = Robot(driver)
    try:
        with pytest.raises(StopFailedError, match="did not return.*CUT ITS POWER"):
            robot.stop()
    finally:
        released.set()


def test_a_device_that_cannot_be_opened_is_named_whatever_its_release_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver = a_driver()
    monkeypatch.setattr(driver, "connect", lambda: raise_(OSError("/dev/ttyUSB0: no access")))
    monkeypatch.setattr(driver, "close", lambda: raise_(AttributeError("no port")))
    with pytest.raises(DriverError, match="ttyUSB0.*test_robot.py, line"), Robot(driver):
        pytest.fail("it connected")


def connected(driver: FakeDriver) -> Robot:
    robot = Robot(driver, patience=Patience(joints_s=10, cameras_s=10))
    robot.connect()
    return robot


@pytest.mark.parametrize("device", ["driver", "camera 'front'"])
def test_a_release_that_hangs_is_named_and_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.setattr(robot_module, "CLOSE_TIMEOUT_S", 0.05)
    driver, released = a_driver(), threading.Event()
    robot = connected(driver)
    hanging = driver if device == "driver" else driver.cameras["front"]
    monkeypatch.setattr(hanging, "close", released.wait)
    caller = Caller(robot.close)
    try:
        assert isinstance(caller.error(5.0), CloseFailedError)
        assert re.search(f"{device}: TimeoutError.*unplug", str(caller.error(0.0)))
        assert driver.stops == 1
        assert driver.closes == (device != "driver"), "the others are let go of"
    finally:
        released.set()


class Caller:
    """Calls in a thread, so that a call that hangs fails its test only."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call, self._error = call, None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def error(self, timeout_s: float) -> Exception | None:
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), "it hangs"
        return self._error

    def _run(self) -> None:
        try:
            self._call()
        except Exception as error:
            self._error = error


def test_a_body_that_does_not_stop_is_worse_news_than_one_that_is_not_released(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver, closed = a_driver(), []

    def close() -> None:
        closed.append(True)
        raise OSError("bus is busy")

    robot = connected(driver)
    monkeypatch.setattr(driver, "close", close)
    driver.stop_failures = 9
    with pytest.raises(StopFailedError, match="CUT ITS POWER"):
        robot.close()
    assert closed
    driver.stop_failures = 0
    with pytest.raises(CloseFailedError, match="driver: OSError: bus is busy"):
        robot.close()


def raise_(error: Exception) -> NoReturn:
    raise error
