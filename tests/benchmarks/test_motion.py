"""Motion measures against hand-made traces."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import SPEC

from takt.benchmarks.motion import Motion, measure, sources
from takt.runtime.trace import Trace

RANGE = SPEC.action_space.high - SPEC.action_space.low


def trace(shares: list[float], chunk: list[int], held: list[bool], waiting: list[bool]) -> Trace:
    """Every axis at the same share of its range."""
    ticks = len(shares)
    return Trace(
        actions=(np.array(shares)[:, None] * RANGE + SPEC.action_space.low).astype(np.float32),
        chunk=np.array(chunk, np.int32),
        index=np.zeros(ticks, np.int32),
        held=np.array(held),
        waiting=np.array(waiting),
        age_s=np.full(ticks, 0.1, np.float32),
        compute_s=np.zeros(2, np.float32),
        delay_ticks=np.array([1, 3], np.int32),
        dropped=0,
        missed=2,
        interventions={},
    )


def test_seams_stalls_and_idling() -> None:
    motion = measure(
        trace(
            shares=[0.0, 0.0, 0.01, 0.02, 0.02, 0.06, 0.07],
            chunk=[-1, 0, 0, 0, 0, 1, 1],
            held=[True, False, False, False, True, False, False],
            waiting=[True, False, False, False, True, False, False],
        ),
        SPEC,
        planned_delay=2,
    )
    assert (motion.ticks, motion.stalls, motion.waiting, motion.late) == (7, 1 + 2, 2, 1)
    assert (motion.seam_count, motion.inner_count) == (1, 3)
    assert motion.seam_ratio == pytest.approx(4.0, rel=1e-3)
    assert motion.idle_share == pytest.approx(2 / 7)


def test_jerk_of_a_cubic_is_its_third_derivative() -> None:
    times = np.arange(9) / SPEC.rate_hz
    record = trace((0.4 * times**3).tolist(), [0] * 9, [False] * 9, [False] * 9)
    joints = [unit == "rad" for unit in SPEC.action_space.units]
    wanted = np.sqrt(np.mean((6 * 0.4 * RANGE[joints]) ** 2))
    # float32 targets of about 1 rad carry 1e-7; times 30^3 that is 1e-2
    assert measure(record, SPEC, 0).jerk_rms == pytest.approx(wanted, rel=0.02)


def test_a_takeover_has_no_observation_age() -> None:
    record = trace([0.0] * 4, [0, 0, -1, -1], [False] * 4, [False] * 4)
    taken = replace(record, age_s=np.array([0.1, 0.1, np.nan, np.nan], np.float32))
    assert measure(taken, SPEC, 0).age_s == pytest.approx(0.1)


def test_pooling_is_exact_and_nothing_is_divided_by_zero() -> None:
    half = Motion(ticks=10, waiting=1, seam_sum=1.0, seam_count=2, inner_sum=1.0, inner_count=4)
    assert (half + half).seam_ratio == half.seam_ratio == 2.0
    assert (half + Motion(ticks=30)).idle_share == 1 / 40
    assert Motion().seam_ratio is None
    assert Motion().jerk_rms is None


def test_a_plan_that_comes_before_its_prefix_ends_meets_the_old_one_where_it_ends() -> None:
    # plan 1 arrives at its action 1, its first 3 are plan 0's; only then the command jumps
    record = trace(
        [0.0, 0.01, 0.02, 0.03, 0.13, 0.14], [0, 0, 1, 1, 1, 1], [False] * 6, [False] * 6
    )
    record = replace(record, index=np.array([0, 1, 1, 2, 3, 4], np.int32))
    np.testing.assert_array_equal(sources(record, 3), [0, 0, 0, 0, 1, 1])
    np.testing.assert_array_equal(sources(record, 0), record.chunk)
    motion = measure(record, SPEC, 2, repeated=3)
    assert (motion.seam_count, motion.seam_ratio) == (1, pytest.approx(10.0, rel=1e-3))


def test_a_plan_asked_for_inside_a_prefix_repeats_what_the_one_before_decided() -> None:
    # plan 2 is asked for on tick 4 and arrives on tick 5, when plan 1's own actions just began
    record = trace([0.0] * 9, [0, 0, 1, 1, 1, 2, 2, 2, 2], [False] * 9, [False] * 9)
    record = replace(record, index=np.array([0, 1, 1, 2, 3, 1, 2, 3, 4], np.int32))
    np.testing.assert_array_equal(sources(record, 4), [0, 0, 0, 0, 0, 1, 1, 1, 2])
