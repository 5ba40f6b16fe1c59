import os
import subprocess

import numpy as np
import pytest

from takt.benchmarks.suites.environment import environments_folder
from takt.benchmarks.suites.libero_expert import OPENING, TIP, plan_grasp

PYTHON = environments_folder() / "libero" / "bin" / "python"
NOTHING = np.zeros((0, 3))


def box(half: tuple[float, float, float], yaw: float) -> np.ndarray:
    signs = np.stack(np.meshgrid(*[[-1, 1]] * 3), axis=-1).reshape(8, 3)
    c, s = np.cos(yaw), np.sin(yaw)
    return signs * half @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + [0.1, 0.2, half[2]]


@pytest.mark.parametrize("yaw", [0.0, 0.6, -1.2])
def test_a_box_is_grasped_across_its_narrow_side(yaw: float) -> None:
    corners = box((0.02, 0.05, 0.01), yaw)
    grasp = plan_grasp(corners, np.array([1.0, 0, 0]), NOTHING)
    assert abs(grasp.axis @ [np.cos(yaw), np.sin(yaw), 0]) > 0.998
    assert np.ptp(corners @ grasp.axis) < OPENING
    np.testing.assert_allclose(grasp.point, [0.1, 0.2, TIP], atol=1e-3)


def test_of_two_equal_sides_the_nearer_is_taken() -> None:
    grasp = plan_grasp(box((0.03, 0.03, 0.05), 0.1), np.array([0.0, -1.0, 0.0]), NOTHING)
    np.testing.assert_allclose(grasp.axis, [np.sin(0.1), -np.cos(0.1), 0], atol=0.05)


def test_the_palm_goes_round_what_is_taller() -> None:
    thing, along = box((0.02, 0.04, 0.01), 0.0), np.array([1.0, 0, 0])
    can = box((0.02, 0.02, 0.04), 0.0) + [0.09, 0.04, 0]
    free, round_it = plan_grasp(thing, along, NOTHING), plan_grasp(thing, along, can)
    assert abs(free.axis @ along) > 0.999
    away = can - round_it.point
    side = np.cross([0, 0, 1], round_it.axis)
    under = (abs(away @ round_it.axis) < 0.1) & (abs(away @ side) < 0.032)
    assert not under.any()
    assert np.ptp(thing @ round_it.axis) < OPENING


PLAY = """
import os, sys
from takt.benchmarks.suites.libero import Libero
from takt.benchmarks.suites.suite import Trial
suite = Libero(suite="object", tasks="6", init_states="0")
trial = suite.trials()[0]
scene = suite.open(trial.task)
scene.blind = True
starts = []
for _ in range(2):
    scene.reset(trial)
    starts.append(scene.observe().state.tobytes())
    expert = scene.expert()
    while not scene.finished:
        scene.act(expert.infer(scene.observe(), None).actions[0])
print(starts[0] == starts[1], scene.stages, file=sys.stderr, flush=True)
os._exit(0)
"""


@pytest.mark.skipif(not PYTHON.exists(), reason="TAKT_ENVIRONMENTS has no environment of libero")
@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("TAKT_ASSETS"), reason="TAKT_ASSETS names no assets")
def test_the_expert_solves_a_task_of_the_real_simulator_twice_alike() -> None:
    done = subprocess.run([PYTHON, "-c", PLAY], stderr=subprocess.PIPE, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "True 1", done.stderr[-2000:]
