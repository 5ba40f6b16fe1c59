"""The governor passes, clamps or refuses, and counts what it changed."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from bodies import ARM
from fakes import SPEC
from hypothesis import given
from hypothesis import strategies as st

from takt.embodiments.limits import AxisBox, Limits, LimitsError, ToolBox
from takt.runtime.safety import (
    ForceLimitError,
    Governor,
    Intervention,
    Touch,
    UnsafeActionError,
    step_limits,
)

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
    seen = governor.foresee(wanted, REST, len(wanted))
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


def limited(limits: Limits, touch: Touch | None = None) -> Governor:
    return Governor.of(ARM, limits, touch)


def drive(governor: Governor, wanted: np.ndarray, start: np.ndarray) -> np.ndarray:
    done = [start]
    for action in wanted:
        done.append(governor.govern(action, done[-1]))
    return np.array(done)


ACCELERATION = np.full(2, 4.0, np.float32)  # rad/s^2: 1.6e-3 rad per tick^2 at 50 Hz
CHANGE = 4.0 / 50**2


def test_a_slower_body_says_so() -> None:
    limits = Limits(velocity=np.array([0.5, np.inf], np.float32))
    np.testing.assert_allclose(step_limits(ARM, limits), [0.01, np.inf])
    governor = limited(limits)
    after = governor.govern(np.array([1.0, 1.0], np.float32), np.zeros(2, np.float32))
    np.testing.assert_allclose(after, [0.01, 1.0])
    assert governor.log == (Intervention(tick=0, cause="step", axes=("shoulder",)),)


def test_a_leap_is_eased_into_and_ends_on_its_target_without_overshoot() -> None:
    governor = limited(Limits(acceleration=ACCELERATION))
    path = drive(governor, np.full((120, 2), (0.3, -0.2), np.float32), np.zeros(2, np.float32))
    assert np.abs(np.diff(path, n=2, axis=0)).max() <= CHANGE * 1.001
    np.testing.assert_allclose(path[-1], [0.3, -0.2], atol=1e-6)
    assert path[:, 0].max() <= 0.3 + 1e-6
    assert path[:, 1].min() >= -0.2 - 1e-6
    assert set(governor.interventions) == {"step", "acceleration"}


def test_a_target_beyond_a_bound_is_braked_for_and_rested_on() -> None:
    governor = limited(Limits(acceleration=ACCELERATION))
    path = drive(governor, np.full((300, 2), 5.0, np.float32), np.zeros(2, np.float32))
    assert np.abs(np.diff(path, n=2, axis=0)).max() <= CHANGE * 1.001
    np.testing.assert_allclose(path[-1], 2.0, atol=1e-3)
    assert path.max() <= 2.0


def test_motion_within_the_acceleration_passes_untouched() -> None:
    governor = limited(Limits(acceleration=ACCELERATION))
    ticks = np.arange(100)[:, None] / 50
    wanted = (0.1 * (1 - np.cos(4 * ticks)) * [1, -1]).astype(np.float32)  # 1.6 rad/s^2
    np.testing.assert_array_equal(drive(governor, wanted, wanted[0])[1:], wanted)
    assert governor.interventions == {}


@given(targets=st.lists(st.floats(-3, 3), min_size=5, max_size=40), change=st.floats(0.05, 50))
def test_no_plan_breaks_acceleration_or_bounds_and_all_is_foreseen(
    targets: list[float], change: float
) -> None:
    limits = Limits(acceleration=np.array([change, np.inf], np.float32))
    governor = limited(limits)
    wanted = np.repeat(np.array(targets, np.float32)[:, None], 2, axis=1).repeat(4, axis=0)
    start = np.zeros(2, np.float32)
    first = drive(governor, wanted[:7], start)
    foreseen = governor.foresee(wanted[7:], first[-1], len(wanted) - 7)
    rest = drive(governor, wanted[7:], first[-1])
    np.testing.assert_array_equal(rest[1:], foreseen)
    path = np.concatenate([[start], first, rest[1:]])
    assert np.abs(np.diff(path[:, 0], n=2)).max() <= change / 50**2 * 1.001 + 1e-6
    assert np.abs(path).max() <= 2
    assert np.abs(np.diff(path, axis=0)).max() <= np.pi / 50 * 1.001


def test_the_axes_of_a_tool_keep_to_their_box() -> None:
    box = AxisBox(low=np.full(2, -1, np.float32), high=np.array([0.01, np.inf], np.float32))
    governor = limited(Limits(workspace=box))
    after = governor.govern(np.array([0.03, 0.03], np.float32), np.zeros(2, np.float32))
    np.testing.assert_allclose(after, [0.01, 0.03])
    assert governor.interventions == {"workspace": 1}


ONES = np.ones(3, np.float32)
LOW, HIGH = np.full(2, -2, np.float32), np.full(2, 2, np.float32)


@pytest.mark.parametrize(
    "limits",
    [
        Limits(),
        Limits(acceleration=ACCELERATION),
        Limits(workspace=AxisBox(low=LOW, high=HIGH)),
        Limits(workspace=AxisBox(low=LOW / 2, high=HIGH / 2)),
    ],
)
def test_a_body_that_begins_outside_comes_back_without_a_leap(limits: Limits) -> None:
    start = np.array([2.5, -2.5], np.float32)
    held = drive(limited(limits), np.repeat(start[None], 5, axis=0), start)
    assert (held == start).all(), "outside, it may be held"
    farther = drive(limited(limits), np.repeat(2 * start[None], 5, axis=0), start)
    assert (farther == start).all(), "but go no farther"
    path = drive(limited(limits), np.zeros((120, 2), np.float32), start)
    assert np.abs(np.diff(path, axis=0)).max() <= step_limits(ARM).max() * 1.001
    if limits.acceleration is not None:
        assert np.abs(np.diff(path, n=2, axis=0)).max() <= CHANGE * 1.001
    np.testing.assert_allclose(path[-1], 0, atol=1e-6)


def planar(action: np.ndarray) -> np.ndarray:
    """Two links of 0.3 m in the plane."""
    a, b = action[0], action[0] + action[1]
    return np.array([[0.3 * (np.cos(a) + np.cos(b)), 0.3 * (np.sin(a) + np.sin(b)), 0.0]])


TABLE = ToolBox(
    tools=planar,
    low=np.array([-1, -0.1, -1], np.float32),
    high=np.array([1, 1, 1], np.float32),
)


def test_the_tool_stops_at_the_table_and_may_leave_it() -> None:
    governor = limited(Limits(workspace=TABLE))
    down = drive(governor, np.full((60, 2), (-1.0, 0.0), np.float32), np.zeros(2, np.float32))
    heights = [planar(action)[0, 1] for action in down]
    assert min(heights) >= -0.1 - 1e-6
    assert heights[-1] == pytest.approx(-0.1, abs=1e-3)
    assert governor.causes == ("step", "workspace")
    assert planar(governor.govern(np.zeros(2, np.float32), down[-1]))[0, 1] > heights[-1]
    below = np.array([-0.5, 0.0], np.float32)
    assert (governor.govern(below - 0.01, below) == below).all(), "outside, no farther"
    assert (governor.govern(below + 0.01, below) != below).all(), "only nearer"


def test_kinematics_that_fail_to_answer_hold_the_body() -> None:
    broken = replace(TABLE, tools=lambda action: np.full((1, 3), np.nan))
    governor = limited(Limits(workspace=broken))
    start = np.zeros(2, np.float32)
    np.testing.assert_array_equal(governor.govern(start + np.float32(0.01), start), start)


@pytest.mark.parametrize("felt", [[2.0, -5.5], [np.nan, 0.0], [0.0], None])
def test_a_force_above_its_limit_or_unknown_stops(felt: list[float] | None) -> None:
    now: list[np.ndarray | None] = [np.array([1.0, -1.0], np.float32)]
    governor = limited(Limits(force=np.full(2, 5, np.float32)), lambda: now[0])
    rest = np.zeros(2, np.float32)
    governor.govern(rest, rest)
    now[0] = None if felt is None else np.array(felt, np.float32)
    with pytest.raises(ForceLimitError, match="at most"):
        governor.govern(rest, rest)
    assert governor.interventions == {"force": 1}
    assert governor.causes == ("force",)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Limits(velocity=np.array([0.0, 1.0], np.float32)), "more than 0"),
        (lambda: Limits(workspace=replace(TABLE, high=TABLE.low)), "low < high"),
        (lambda: limited(Limits(acceleration=np.ones(3, np.float32))), "2 axes, got 3"),
        (lambda: limited(Limits(workspace=AxisBox(low=-ONES, high=ONES))), "2 axes, got 3"),
        (
            lambda: Governor(replace(SPACE, low=SPACE.low * np.nan), step_limits(SPEC)),
            "low <= high",
        ),
        (lambda: limited(Limits(force=np.ones(1, np.float32))), "measures touch"),
    ],
)
def test_limits_that_do_not_fit_are_refused(make: Callable[[], object], says: str) -> None:
    with pytest.raises(LimitsError, match=says):
        make()
