"""The frozen station: repeatable, winnable, and unforgiving where it must be."""

import numpy as np
import pytest

from takt.embodiments.nut_station.spec import GRIPPER_CLOSED_M, SPEC
from takt.simulation.nut_station.expert import ScriptedExpert
from takt.simulation.nut_station.station import NutStation
from takt.types import TaktError


def run_expert(station, seed, **kwargs):
    station.reset(seed)
    expert = ScriptedExpert(station, **kwargs)
    while not station.finished:
        station.act(expert.action())
    return set(station.finish().values())


def states(station, seed, ticks=60):
    station.reset(seed)
    expert = ScriptedExpert(station)
    rows = []
    for _ in range(ticks):
        station.act(expert.action())
        rows.append(np.concatenate([station.data.qpos, station.data.qvel]))
    return np.stack(rows)


def test_a_seed_is_a_trajectory_bit_for_bit(station):
    first = states(station, 7)
    states(station, 8, ticks=5)  # what came before leaves no trace
    assert np.array_equal(states(station, 7), first)
    assert np.array_equal(states(NutStation(), 7), first)


def test_another_seed_is_another_scene(station):
    assert not np.allclose(states(station, 7, 1), states(station, 8, 1), atol=1e-4)


@pytest.mark.parametrize("seed", [0, 1, 1_000_000])
def test_the_expert_installs_both_sides(station, seed):
    assert run_expert(station, seed) == {"installed"}
    assert 45 < station.cycle_s < 70


@pytest.mark.parametrize("off_deg", [10.0, -10.0])
def test_a_misaligned_spline_jams(station, off_deg):
    assert run_expert(station, 2, yaw_offset=np.radians(off_deg)) == {"spline_jam"}


def test_a_few_degrees_off_are_captured(station):
    assert run_expert(station, 2, yaw_offset=np.radians(5.0)) == {"installed"}


def test_a_nut_let_go_on_the_way_is_dropped(station):
    station.reset(3)
    expert = ScriptedExpert(station)
    while station.nuts["left"].position[2] < 0.06 and not station.finished:
        station.act(expert.action())
    for _ in range(60):
        opened = expert.action()
        opened[6] = SPEC.action_space.high[6]
        station.act(opened)
    assert station.outcomes["left"] == "dropped"


def test_imagination_leaves_no_trace(station):
    station.reset(4)
    expert = ScriptedExpert(station)
    for _ in range(20):
        station.act(expert.action())
    before = station.data.qpos.copy(), station.now, station.nuts, station.state()
    plan = expert.plan(16)
    assert np.array_equal(station.data.qpos, before[0])
    assert (station.now, station.nuts) == before[1:3]
    station.act(plan[0])
    for action in plan[1:]:  # undisturbed, the plan is what the expert then does
        assert np.array_equal(expert.action(), action)
        station.act(action)
    assert not np.array_equal(station.state(), before[3])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_action_that_is_no_number_is_refused(station, bad):
    station.reset(0)
    action = station.state()
    action[3] = bad
    before = station.data.qpos.copy()
    with pytest.raises(TaktError, match="finite"):
        station.act(action)
    assert np.array_equal(station.data.qpos, before)


def test_targets_beyond_a_limit_are_clipped(station):
    station.reset(0)
    action = station.state()
    action[6] = GRIPPER_CLOSED_M - 1.0
    station.act(action)
    closed = station.data.ctrl[6]
    station.reset(0)
    action[6] = GRIPPER_CLOSED_M
    station.act(action)
    assert station.data.ctrl[6] == closed


def test_stop_holds_the_pose(station):
    station.reset(5)
    expert = ScriptedExpert(station)
    for _ in range(15):
        station.act(expert.action())
    station.stop()
    held = station.data.ctrl[:6].copy()
    np.testing.assert_allclose(held, station.state()[:6], atol=1e-6)
    station.stop()
    assert np.array_equal(station.data.ctrl[:6], held)


def test_what_is_sensed_is_what_the_spec_says(station):
    station.reset(0)
    seen = station.observe()
    assert {name: image.shape for name, image in seen.images.items()} == {
        camera.name: (camera.height, camera.width, 3) for camera in SPEC.cameras
    }
    assert all(image.std() > 5 for image in seen.images.values())  # something is in sight
    assert seen.state.shape == SPEC.action_space.low.shape
    assert np.all(seen.state >= SPEC.action_space.low - 1e-3)
    assert np.all(seen.state <= SPEC.action_space.high + 1e-3)
