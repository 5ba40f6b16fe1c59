"""The governor passes, clamps or refuses, and counts what it changed."""

import numpy as np
import pytest
from fakes import SPEC

from takt.runtime.safety import Governor, UnsafeActionError, step_limits

SPACE = SPEC.action_space
REST = np.clip(np.zeros(14, np.float32), SPACE.low, SPACE.high)


@pytest.fixture
def governor() -> Governor:
    return Governor(SPACE, step_limits(SPEC))


def test_a_sane_action_passes_unchanged(governor: Governor) -> None:
    wanted = REST + np.float32(0.05) * (SPACE.high > 1)
    np.testing.assert_array_equal(governor.govern(wanted, REST), wanted)
    assert governor.interventions == {}


def test_a_leap_is_cut_to_one_tick_of_joint_speed(governor: Governor) -> None:
    wanted = REST.copy()
    wanted[0] = 2.0
    assert governor.govern(wanted, REST)[0] == pytest.approx(np.pi / 30, rel=1e-5)
    assert governor.interventions == {"step": 1}


def test_every_clamped_step_counts(governor: Governor) -> None:
    wanted = REST + np.float32(1.5 * np.pi / 30) * (np.arange(14) == 3)
    assert governor.govern(wanted, REST)[3] == pytest.approx(np.pi / 30, rel=1e-5)
    assert governor.interventions == {"step": 1}


def test_what_is_foreseen_is_what_is_let_through(governor: Governor) -> None:
    wanted = REST + np.linspace(0, 1, 4, dtype=np.float32)[:, None] * (np.arange(14) == 3)
    seen = governor.foresee(wanted, REST)
    assert governor.interventions == {}
    last = REST
    for action, foreseen in zip(wanted, seen, strict=True):
        last = governor.govern(action, last)
        np.testing.assert_array_equal(last, foreseen)


def test_the_gripper_may_step_and_bounds_hold(governor: Governor) -> None:
    wanted = REST.copy()
    wanted[6] = 1.0
    assert governor.govern(wanted, REST)[6] == SPACE.high[6]
    assert governor.interventions == {"bounds": 1}


def test_scatter_round_a_stop_is_clamped_but_not_counted(governor: Governor) -> None:
    wanted = REST.copy()
    wanted[6] = SPACE.low[6] - 1e-4
    assert governor.govern(wanted, REST)[6] == SPACE.low[6]
    assert governor.interventions == {}


@pytest.mark.parametrize("bad", [np.full(14, np.nan, np.float32), np.zeros(7, np.float32)])
def test_nonsense_never_reaches_the_body(governor: Governor, bad: np.ndarray) -> None:
    with pytest.raises(UnsafeActionError):
        governor.govern(bad, REST)
