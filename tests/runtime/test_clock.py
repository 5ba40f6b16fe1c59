"""Neither clock drifts."""

import random
import time

import pytest

from takt.runtime.clock import VirtualClock, WallClock


def test_virtual_stamps_are_multiples_not_sums() -> None:
    clock = VirtualClock(1 / 30)
    for _ in range(10_000):
        clock.tick()
    assert clock.now() == 10_000 * (1 / 30)


def test_wall_clock_keeps_its_phase_through_an_overrun() -> None:
    dt = 0.01
    began = time.monotonic()
    clock = WallClock(dt)
    for index in range(20):
        if index == 5:
            time.sleep(3.5 * dt)
        clock.tick()
    elapsed = time.monotonic() - began
    assert clock.missed >= 3
    assert elapsed >= (20 + clock.missed) * dt, "late periods are skipped, never made up in a burst"
    assert abs(clock.now() - 20 * dt) < 1e-12, "control time counts executed ticks"


class FakeTime:
    """Every look takes a microsecond; a sleep always takes too long, as on a loaded machine."""

    def __init__(self) -> None:
        self._draw = random.Random(0)
        self.now = 1000.0

    def monotonic(self) -> float:
        self.now += 1e-6
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds + self._draw.uniform(0, 0.008)


def test_what_comes_before_the_first_tick_is_no_missed_period(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakeTime()
    monkeypatch.setattr("takt.runtime.clock.time", fake)
    clock = WallClock(0.01)
    fake.sleep(1.0)  # a recorder opens its spool
    assert clock.now() == 0.0
    clock.tick()
    assert clock.missed == 0
    assert fake.now >= 1001.01


def test_wall_clock_does_not_drift_and_knows_how_late_each_tick_began(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakeTime()
    monkeypatch.setattr("takt.runtime.clock.time", fake)
    dt = 0.01
    clock = WallClock(dt)
    for _ in range(10_000):
        clock.tick()
        assert 0.0 <= clock.lateness <= 0.008 + 1e-9
    assert clock.missed == 0
    assert abs(fake.now - 1000.0 - clock.lateness - clock.now()) < 1e-6
