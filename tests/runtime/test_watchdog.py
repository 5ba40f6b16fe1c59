"""Whatever fails or hangs, the body is stopped."""

import math
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import NoReturn

import numpy as np
import pytest
from bodies import ARM, FakeDriver, SteadyCamera

from takt.embodiments.driver import DriverError
from takt.runtime.chunking import NaiveAsynchronous
from takt.runtime.clock import WallClock
from takt.runtime.executor import Executor
from takt.runtime.inference import InlinePolicy, PolicyError, PolicyWorker
from takt.runtime.latency import Measured
from takt.runtime.policy_process import PolicyDiedError, PolicyProcess
from takt.runtime.robot import Robot
from takt.runtime.safety import Governor
from takt.runtime.sensor_feed import SensorLostError
from takt.runtime.signals import Ending, ending_by_signals
from takt.runtime.synchroniser import Patience
from takt.runtime.watchdog import Watchdog, WatchdogError
from takt.types import ActionChunk, Observation, TaktError

TIMEOUT_S = 0.2
PATIENT = Patience(joints_s=10, cameras_s=10)  # where a slow machine must not fail first


class Nodding:
    """Plans ten small steps; fails as it is told to."""

    def __init__(self, fail: Callable[[], None] = lambda: None) -> None:
        self._fail = fail
        self.plans = 0

    def reset(self, seed: int) -> None: ...

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        self.plans += 1
        if self.plans == 3:
            self._fail()
        actions = observation.state + 1e-3 * np.arange(10)[:, None]
        return ActionChunk(stamp=observation.stamp, dt=ARM.dt, actions=actions.astype(np.float32))


def nodding() -> Nodding:
    """Factory for a policy process."""
    return Nodding()


class Breaking(FakeDriver):
    """Its tenth command does what it is told to."""

    def __init__(self, fail: Callable[[], None] = lambda: None) -> None:
        cameras = {name: SteadyCamera(time.monotonic) for name in ("front", "wrist")}
        super().__init__(time.monotonic, cameras)
        self._fail = fail

    def command(self, action: np.ndarray) -> None:
        super().command(action)
        if len(self.commands) == 10:
            self._fail()


def run(
    driver: FakeDriver,
    worker: PolicyWorker,
    finished: Callable[[], bool] | None = None,
    patience: Patience = PATIENT,
    timeout_s: float = 10.0,
) -> None:
    def seen_enough() -> bool:
        ending.check()
        return len(driver.commands) > 150

    with (
        ending_by_signals() as ending,
        Robot(driver, patience=patience) as robot,
        Watchdog(robot, timeout_s) as body,
    ):
        executor = Executor(
            body,
            worker,
            NaiveAsynchronous(execute=5),
            clock=WallClock(ARM.dt),
            latency=Measured(),
            governor=Governor.of(ARM),
        )
        with ending.deferred():
            executor.run(finished or seen_enough)


@pytest.mark.parametrize("timeout_s", [0.0, 0.01, math.nan, math.inf, -1.0])
def test_a_watchdog_that_could_not_watch_is_refused(timeout_s: float) -> None:
    with pytest.raises(TaktError, match="watchdog: expected at least two ticks, .* at most"):
        Watchdog(Robot(Breaking()), timeout_s)


def fail(error: BaseException) -> Callable[[], NoReturn]:
    def action() -> NoReturn:
        raise error

    return action


def unplug(driver: FakeDriver) -> None:
    camera = driver.cameras["wrist"]
    assert isinstance(camera, SteadyCamera)
    camera.unplugged = True


def kill_self(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("policy", "action", "error", "says"),
    [
        (fail(ZeroDivisionError("policy")), None, ZeroDivisionError, "policy"),
        (None, fail(OSError("bus")), DriverError, "OSError: bus"),
        (None, kill_self(signal.SIGINT), KeyboardInterrupt, None),
        (None, kill_self(signal.SIGTERM), SystemExit, "143"),
        (None, kill_self(signal.SIGHUP), SystemExit, "129"),
        (None, lambda: time.sleep(3 * TIMEOUT_S), WatchdogError, "200 ms.*blocks"),
        (lambda: time.sleep(3 * TIMEOUT_S), None, WatchdogError, "200 ms.*blocks"),
    ],
)
def test_every_failure_ends_in_a_stop(
    policy: Callable[[], None] | None,
    action: Callable[[], None] | None,
    error: type[BaseException],
    says: str | None,
) -> None:
    driver = Breaking(action or (lambda: None))
    worker = InlinePolicy(Nodding(policy) if policy else Nodding())
    with pytest.raises(error, match=says):
        run(driver, worker, timeout_s=TIMEOUT_S if error is WatchdogError else 10.0)
    assert driver.stops >= 1
    assert driver.closes == 1
    assert len(driver.commands) <= 20
    assert not [t for t in threading.enumerate() if t.name.startswith(("sensor", "watchdog"))]


def test_a_lost_sensor_ends_in_a_stop() -> None:
    driver = Breaking()
    driver._fail = lambda: unplug(driver)
    with pytest.raises(SensorLostError, match="wrist.*no such device"):
        run(driver, InlinePolicy(Nodding()), patience=Patience(joints_s=10, cameras_s=0.3))
    assert driver.stops >= 1
    assert len(driver.commands) < 60


def test_an_error_in_the_question_whether_it_is_finished_ends_in_a_stop() -> None:
    driver = Breaking()
    with pytest.raises(LookupError):
        run(driver, InlinePolicy(Nodding()), fail(LookupError("judge")))
    assert driver.stops >= 1


def test_a_killed_policy_process_ends_in_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(os.path.dirname(__file__))
    driver = Breaking()
    with PolicyProcess("test_watchdog:nodding", {}) as worker:
        worker.reset(0)
        driver._fail = lambda: os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(PolicyDiedError, match="-9"):
            run(driver, worker)
    assert driver.stops >= 1
    assert issubclass(PolicyDiedError, PolicyError)


def test_the_body_is_stopped_while_the_loop_still_hangs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    driver, hanging = FakeDriver(time.monotonic, {}), threading.Event()
    said = ""

    class Stuck:
        spec = ARM

        def observe(self) -> Observation:
            raise NotImplementedError

        def act(self, action: np.ndarray) -> None:
            hanging.wait(5)

        def stop(self) -> None:
            driver.stop()

    with Watchdog(Stuck(), TIMEOUT_S) as dog:
        loop = threading.Thread(target=lambda: pytest.raises(WatchdogError, dog.act, np.zeros(2)))
        loop.start()
        deadline = time.monotonic() + 2
        while not said and time.monotonic() < deadline:
            time.sleep(0.01)
            said = capsys.readouterr().err
        assert "watchdog: expected a tick at least every 200 ms" in said
        assert driver.stops == 1
        assert loop.is_alive()
        hanging.set()
        loop.join()
        assert driver.stops == 2, "it moved after it was stopped, so it is stopped again"
        with pytest.raises(WatchdogError):
            dog.act(np.zeros(2))


def test_between_episodes_it_rests() -> None:
    driver = FakeDriver(time.monotonic, {})
    driver.act = driver.command  # pyright: ignore[reportAttributeAccessIssue]
    with Watchdog(driver, TIMEOUT_S) as dog:  # pyright: ignore[reportArgumentType]
        dog.act(np.zeros(2))
        dog.stop()
        time.sleep(2 * TIMEOUT_S)
        dog.act(np.zeros(2))
    assert driver.stops == 2
    with pytest.raises(TaktError, match="two ticks"):
        Watchdog(driver, 0.01)  # pyright: ignore[reportArgumentType]


def test_the_first_signal_waits_for_its_place_and_the_second_does_not() -> None:
    ending = Ending()
    with ending.deferred():
        ending.handle(signal.SIGTERM, None)
        with pytest.raises(SystemExit, match="143"):
            ending.check()
        ending.check()
    stuck = Ending()
    with stuck.deferred():
        stuck.handle(signal.SIGTERM, None)
        with pytest.raises(KeyboardInterrupt):
            stuck.handle(signal.SIGINT, None)


def test_later_signals_do_not_cut_short_the_stop(capsys: pytest.CaptureFixture[str]) -> None:
    stopped = []

    def run_and_stop() -> None:
        with ending_by_signals():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                os.kill(os.getpid(), signal.SIGINT)
                stopped.append(True)

    with pytest.raises(SystemExit):
        run_and_stop()
    assert stopped
    assert "being stopped" in capsys.readouterr().err
