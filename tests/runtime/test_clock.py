"""Neither clock drifts."""

import time

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
