"""Every outcome from hand-made sequences of nut states."""

from dataclasses import replace

import numpy as np
import pytest

from takt.embodiments.nut_station.cycle import OUTCOMES
from takt.simulation.nut_station import judge
from takt.simulation.nut_station.judge import NutState, SideJudge

DT = 1 / 30
FEEDER = np.array([0.3, 0.37, 0.03])
PIN = np.array([0.42, 0.15, 0.035])

ON_FEEDER = NutState(
    position=FEEDER,
    yaw=0.0,
    height=-0.005,
    offset=0.25,
    mark_error=0.0,
    tilt=0.0,
    gripped=False,
    pin_force_n=0.0,
    touches_pin=False,
)
CARRIED = replace(ON_FEEDER, position=np.array([0.36, 0.26, 0.1]), height=0.065, gripped=True)
SEATED = replace(
    ON_FEEDER, position=PIN, height=0.0, offset=0.0003, touches_pin=True, pin_force_n=0.6
)
ON_TEETH = replace(SEATED, position=PIN + [0, 0, 0.012], height=0.0119, pin_force_n=6.0)


def watch(*spells):
    """Outcome after (state, seconds) spells and a cut; a spell is shown for whole ticks."""
    side = SideJudge(DT, FEEDER)
    for state, seconds in spells:
        for _ in range(round(seconds / DT)):
            side.update(state)
    return side.finish()


CASES = {
    "installed": [(CARRIED, 1.0), (SEATED, 0.4)],
    "missed_pick": [(ON_FEEDER, 112.0)],
    "dropped": [(CARRIED, 1.0), (replace(CARRIED, gripped=False, position=PIN + 0.1), 1.1)],
    "spline_jam": [(CARRIED, 1.0), (replace(ON_TEETH, gripped=True), 2.1)],
    "not_seated": [(CARRIED, 1.0), (replace(SEATED, tilt=0.2), 1.1)],
    "force_limit": [(CARRIED, 1.0), (replace(ON_TEETH, gripped=True, pin_force_n=61.0), 0.2)],
    "timeout": [(CARRIED, 112.0)],
}


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_outcome_has_its_sequence(outcome):
    assert watch(*CASES[outcome]) == outcome


@pytest.mark.parametrize(
    ("change", "seconds"),
    [
        ({}, judge.RELEASED_S - 3 * DT),
        ({"gripped": True}, 1.0),
        ({"height": judge.SEATED_DEPTH_M + 1e-5}, 0.9),
        ({"offset": judge.SEATED_OFFSET_M + 1e-5}, 0.9),
        ({"tilt": judge.SEATED_TILT_RAD + 1e-5}, 0.9),
        ({"touches_pin": False}, 0.9),
    ],
    ids=["too short", "still gripped", "too high", "off axis", "tilted", "no contact"],
)
def test_what_is_not_installed(change, seconds):
    assert watch((CARRIED, 1.0), (replace(SEATED, **change), seconds)) == "timeout"


@pytest.mark.parametrize(
    "change",
    [
        {"pin_force_n": judge.JAM_FORCE_N - 0.1},
        {"height": judge.TOOTH_TOP_M + judge.TOOTH_BAND_M + 1e-4},
        {"offset": judge.ON_PIN_M + 1e-4},
        {"touches_pin": False},
    ],
    ids=["light touch", "above the teeth", "beside the pin", "no contact"],
)
def test_what_is_not_yet_a_jam(change):
    pressed = replace(ON_TEETH, gripped=True, **change)
    assert watch((CARRIED, 1.0), (pressed, 5.0)) == "timeout"


def test_an_interruption_starts_the_count_again():
    jam, up = (replace(ON_TEETH, gripped=True), 1.9), (CARRIED, 0.1)
    assert watch(jam, up, jam, up) == "timeout"


def test_a_nut_left_on_the_teeth_is_a_jam():
    assert watch((CARRIED, 1.0), (ON_TEETH, 1.1)) == "spline_jam"


def test_back_on_the_feeder_is_not_dropped():
    assert watch((CARRIED, 1.0), (ON_FEEDER, 30.0)) == "timeout"


def test_a_nut_pushed_off_its_feeder_is_dropped():
    beside = replace(ON_FEEDER, position=np.array([0.3, 0.45, 0.0]), height=-0.035)
    assert watch((beside, 1.1)) == "dropped"


def test_a_nut_that_fell_beside_its_feeder_is_dropped():
    under = replace(ON_FEEDER, position=FEEDER - [0.04, 0, 0.025])
    assert watch((under, 1.1)) == "dropped"


def test_a_second_is_thirty_ticks():
    side = SideJudge(DT, FEEDER)
    for _ in range(round(judge.LOST_S / DT)):
        assert side.outcome is None
        side.update(replace(CARRIED, gripped=False))
    assert side.outcome == "dropped"


def test_the_first_outcome_stays():
    assert watch((SEATED, 0.4), (replace(ON_TEETH, pin_force_n=100.0), 5.0)) == "installed"
