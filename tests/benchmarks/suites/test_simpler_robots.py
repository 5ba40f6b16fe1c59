"""SimplerEnv's robots: states and actions between a policy's terms and the simulator's."""

import numpy as np
import pytest

from takt.benchmarks.suites.simpler_robots import (
    GOOGLE,
    WIDOWX,
    euler_to_axis_angle,
    matrix_to_euler,
    quaternion_to_matrix,
)


def _about(axis: int, angle: float) -> np.ndarray:
    quaternion = np.zeros(4)
    quaternion[0], quaternion[1 + axis] = np.cos(angle / 2), np.sin(angle / 2)
    return quaternion_to_matrix(quaternion)


def _fixed_axes(roll: float, pitch: float, yaw: float) -> np.ndarray:
    return _about(2, yaw) @ _about(1, pitch) @ _about(0, roll)


def _by_axis_angle(turn: np.ndarray) -> np.ndarray:
    angle = np.linalg.norm(turn)
    axis = turn / angle
    return quaternion_to_matrix(np.array([np.cos(angle / 2), *np.sin(angle / 2) * axis]))


def test_one_angle_is_its_own_axis() -> None:
    np.testing.assert_allclose(euler_to_axis_angle(np.array([0, 0, 0.3])), [0, 0, 0.3])
    np.testing.assert_array_equal(euler_to_axis_angle(np.zeros(3)), np.zeros(3))


def test_both_ways_of_telling_a_rotation_mean_the_same() -> None:
    for euler in np.random.default_rng(0).uniform(-1.5, 1.5, (20, 3)):
        turn = euler_to_axis_angle(euler)
        assert np.linalg.norm(turn) <= np.pi
        np.testing.assert_allclose(_by_axis_angle(turn), _fixed_axes(*euler), atol=1e-12)
        np.testing.assert_allclose(matrix_to_euler(_fixed_axes(*euler)), euler, atol=1e-12)


def test_euler_angles_straight_up_still_mean_the_rotation() -> None:
    matrix = _fixed_axes(0.4, np.pi / 2, 0.0)
    np.testing.assert_allclose(_fixed_axes(*matrix_to_euler(matrix)), matrix, atol=1e-9)


def test_bridge_measures_from_pointing_down() -> None:
    half = np.sqrt(0.5)
    down = np.array([half, 0, half, 0])  # a quarter turn about y: Bridge's own default rotation
    state = WIDOWX.state(np.array([0.1, 0.2, 0.3, *down, 0.75]))
    np.testing.assert_allclose(state, [0.1, 0.2, 0.3, 0, 0, 0, 0.75], atol=1e-7)


def test_fractal_has_its_own_order_and_sense() -> None:
    state = GOOGLE.state(np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75]))
    np.testing.assert_allclose(state, [0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.4, 0.25], rtol=1e-6)


@pytest.mark.parametrize(
    ("opening", "widowx", "google"),
    [(0.0, -1, 1), (0.5, -1, 0), (0.51, 1, -0.02), (1.0, 1, -1), (1.4, 1, -1), (-0.4, -1, 1)],
)
def test_grippers_have_opposite_signs(opening: float, widowx: float, google: float) -> None:
    action = np.array([0.01, -0.02, 0.03, 0, 0, 0, opening], np.float32)
    commands = [WIDOWX.command(action), GOOGLE.command(action)]
    np.testing.assert_allclose([one[6] for one in commands], [widowx, google], atol=1e-6)
    for one in commands:
        np.testing.assert_allclose(one[:6], [0.01, -0.02, 0.03, 0, 0, 0], rtol=1e-6)
