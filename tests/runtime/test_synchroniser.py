"""Sensors that are late, silent, disordered or on another clock never block and never lie."""

import threading
import time

import numpy as np
import pytest
from bodies import ARM, FakeCamera, FakeClock, image

from takt.embodiments.driver import DriverError, Frame, JointSample
from takt.runtime.ring_buffer import RingBuffer
from takt.runtime.sensor_feed import SensorFeed, SensorLostError
from takt.runtime.synchroniser import Patience, Synchroniser


class Bench:
    """A synchroniser whose feeds are pumped by hand, on a clock that stands still."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.cameras = {"front": FakeCamera(), "wrist": FakeCamera()}
        self.joints: list[JointSample] = []
        self.sync = Synchroniser(
            ARM,
            lambda: self.joints.pop(0),
            self.cameras,
            patience=Patience(joints_s=0.1, cameras_s=0.3),
            clock=self.clock,
        )
        self.feeds = {feed.name: feed for feed in self.sync.feeds}

    def joint(self, stamp: float, value: float = 0.0) -> None:
        self.joints.append(JointSample(stamp=stamp, state=np.full(2, value, np.float32)))
        self.feeds["joints"].take()

    def frame(self, camera: str, stamp: float, value: int = 0) -> None:
        self.cameras[camera].see(Frame(stamp=stamp, image=image(value)))
        self.feeds[camera].take()

    def all_at(self, stamp: float) -> None:
        self.clock.now = max(self.clock.now, stamp)
        self.joint(stamp, stamp - 100)
        self.frame("front", stamp)
        self.frame("wrist", stamp)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_tick_gets_the_latest_captured_image_and_interpolated_joints(bench: Bench) -> None:
    bench.clock.now = 100.02
    for stamp, value in ((99.98, 0.0), (100.0, 1.0), (100.02, 3.0)):
        bench.joint(stamp, value)
    for stamp, value in ((99.95, 1), (99.99, 2), (100.015, 3)):
        bench.frame("front", stamp, value)
    bench.frame("wrist", 99.9, 7)
    seen = bench.sync.observation(100.01)
    np.testing.assert_allclose(seen.state, 2.0, atol=1e-5)
    assert (seen.images["front"][0, 0, 0], seen.images["wrist"][0, 0, 0]) == (2, 7)
    assert seen.image_stamps == {"front": 99.99, "wrist": 99.9}
    timing = bench.sync.timing()
    assert timing["wrist"].age_s == pytest.approx(0.11)
    assert timing["wrist"].skew_s == pytest.approx(-0.11)
    assert timing["front"].age_s == pytest.approx(0.02)
    assert timing["joints"].age_s == pytest.approx(0.0)


def test_a_late_camera_is_held_and_its_worst_age_kept(bench: Bench) -> None:
    bench.all_at(100.0)
    for tick in range(1, 15):
        now = bench.clock.now = 100 + 0.02 * tick
        bench.joint(now, tick)
        bench.frame("front", now, tick)
        seen = bench.sync.observation(now)
        assert seen.state[0] == tick
        assert seen.image_stamps["wrist"] == 100.0
    bench.frame("wrist", 100.27)
    bench.sync.observation(100.28)
    assert bench.sync.timing()["wrist"].age_s == pytest.approx(0.01)
    assert bench.sync.timing()["wrist"].worst_age_s == pytest.approx(0.28)


def test_a_camera_silent_for_longer_than_its_patience_is_lost_by_name(bench: Bench) -> None:
    bench.all_at(100.0)
    bench.cameras["wrist"].see(OSError("no such device"))
    bench.feeds["wrist"].take()
    bench.clock.now = 100.31
    bench.joint(100.31)
    bench.frame("front", 100.31)
    with pytest.raises(SensorLostError, match=r"'wrist'.*300 ms.*310 ms old.*no such device"):
        bench.sync.observation(100.31)
    with pytest.raises(SensorLostError, match="wrist"):
        bench.sync.require_alive(100.31)


def test_silent_joints_are_lost_sooner(bench: Bench) -> None:
    bench.all_at(100.0)
    with pytest.raises(SensorLostError, match=r"'joints'.*100 ms"):
        bench.sync.observation(100.15)


def test_samples_out_of_order_or_from_the_future_are_refused_and_counted(bench: Bench) -> None:
    bench.all_at(100.0)
    bench.frame("front", 99.9, 200)
    bench.frame("front", 100.0, 200)
    bench.frame("front", 170.0, 200)
    bench.frame("front", float("nan"), 200)
    assert bench.sync.observation(100.0).images["front"].max() == 0
    reading = bench.sync.timing()["front"].reading
    assert (reading.received, reading.disordered, reading.future) == (5, 2, 2)


@pytest.mark.parametrize("leap", [-60.0, 60.0])
def test_a_camera_whose_clock_leaps_is_lost_and_the_message_says_so(
    bench: Bench, leap: float
) -> None:
    bench.all_at(100.0)
    for tick in range(1, 20):
        now = bench.clock.now = 100 + 0.02 * tick
        bench.joint(now)
        bench.frame("wrist", now)
        bench.frame("front", now + leap)
    with pytest.raises(SensorLostError, match=r"'front'.*19 samples were refused.*clock"):
        bench.sync.observation(bench.clock.now)


def test_images_of_another_size_never_arrive(bench: Bench) -> None:
    bench.cameras["front"].see(Frame(stamp=100.0, image=np.zeros((6, 4, 3), np.uint8)))
    bench.feeds["front"].take()
    with pytest.raises(SensorLostError, match=r"front.*(4, 6, 3).*resize"):
        bench.feeds["front"].require_alive(100.0)


def test_cameras_must_be_those_of_the_spec() -> None:
    with pytest.raises(DriverError, match=r"wrist.*front"):
        Synchroniser(ARM, lambda: pytest.fail("read"), {"front": FakeCamera()})


def test_the_ring_keeps_the_newest() -> None:
    ring = RingBuffer[int](3)
    for k in range(6):
        ring.append(float(k), k, now=10.0)
    stamps, values = ring.snapshot()
    assert (stamps.tolist(), values, ring.newest()) == ([3.0, 4.0, 5.0], [3, 4, 5], (5.0, 5))


def test_threads_fill_the_buffers_and_end_with_close() -> None:
    cameras = {"front": FakeCamera(), "wrist": FakeCamera()}

    def read() -> JointSample:
        return JointSample(stamp=time.monotonic(), state=np.ones(2, np.float32))

    before = threading.active_count()
    sync = Synchroniser(ARM, read, cameras, patience=Patience(first_s=0.2))
    cameras["front"].see(OSError("hiccup"), Frame(stamp=time.monotonic(), image=image()))
    with pytest.raises(SensorLostError, match=r"'wrist'.*no first sample"):
        sync.start()
    cameras["wrist"].see(Frame(stamp=time.monotonic(), image=image()))
    sync.feeds[2].wait_first(2.0)
    began = time.monotonic()
    assert sync.observation(began).state.tolist() == [1.0, 1.0]
    assert time.monotonic() - began < 0.05, "nobody waited for a camera that shows nothing new"
    for camera in cameras.values():
        camera.close()
    sync.close()
    assert threading.active_count() == before


def test_a_device_that_gives_an_old_sample_at_once_is_not_asked_without_a_pause() -> None:
    stamp, reads = time.monotonic(), []
    impatient = SensorFeed(
        "front",
        lambda: (stamp, reads.append(0)),
        patience_s=0.3,
        capacity=4,
        clock=time.monotonic,
    )
    impatient.start()
    time.sleep(0.1)
    impatient.close()
    assert 1 <= len(reads) <= 10
    assert impatient.reading.disordered == len(reads) - 1


def test_a_device_that_never_returns_does_not_hold_up_close(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("takt.runtime.sensor_feed.JOIN_S", 0.05)
    release = threading.Event()

    def read() -> tuple[float, int]:
        release.wait()
        return time.monotonic(), 0

    stuck = SensorFeed("front", read, patience_s=0.3, capacity=4, clock=time.monotonic)
    stuck.start()
    began = time.monotonic()
    stuck.close()
    assert time.monotonic() - began < 1.0
    release.set()
