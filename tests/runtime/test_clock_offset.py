"""How far another host's clock is from ours."""

import sys
import threading

import numpy as np
import pytest

from takt.runtime.clock_offset import ClockOffset
from takt.types import TaktError


def test_the_offset_may_be_read_while_the_connection_measures_it() -> None:
    clock, done = ClockOffset(), threading.Event()
    clock.add(0, 0, 0, 0)

    def measure() -> None:
        while not done.is_set():
            clock.add(0, 1, 2, 5)

    measuring, interval = threading.Thread(target=measure), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    measuring.start()
    try:
        for _ in range(20_000):
            _ = clock.offset_s
    finally:
        done.set()
        measuring.join()
        sys.setswitchinterval(interval)


def test_a_server_that_was_started_again_has_another_clock() -> None:
    clock = ClockOffset()
    clock.add(0.0, 1000.0, 1000.0, 0.001)
    clock.start_again()
    assert clock.offset_s == pytest.approx(1000, abs=0.01)
    clock.add(10.0, 7.0, 7.0, 11.0)
    assert clock.offset_s == pytest.approx(-3.5)


def test_the_offset_is_that_of_the_quickest_exchange() -> None:
    clock = ClockOffset()
    with pytest.raises(TaktError, match="exchange"):
        _ = clock.offset_s
    rng = np.random.default_rng(0)
    for sent in range(100):
        there, back = rng.exponential(0.02, 2) + 0.001
        received = sent + there + 1000.0
        clock.add(sent, received, received + 0.5, sent + there + 0.5 + back)
    assert abs(clock.offset_s - 1000.0) <= clock.round_trip_s / 2 < 0.006
