"""SimplerEnv's two robots: what a policy sees of them, and its actions in the simulator's terms.

State and action as the allenzren fork and the released checkpoints have them (reference
xr0-model.md, section 7). A policy's rotation is a change in roll, pitch and yaw about fixed axes,
its gripper goes from 0, closed, to 1, open.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from takt.embodiments.layouts import released_layout
from takt.types import ActionSpace, CameraSpec, EmbodimentSpec, StateSpace

# Bridge measures the tool's rotation from where it points down, not from the arm's base.
_TOP_DOWN = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])


def euler_to_axis_angle(euler: np.ndarray) -> np.ndarray:
    """(3,) roll, pitch, yaw about fixed axes, rad, to axis times angle, at most pi."""
    (sr, sp, sy), (cr, cp, cy) = np.sin(euler / 2), np.cos(euler / 2)
    w = cr * cp * cy + sr * sp * sy
    axis = np.array(
        [
            sr * cp * cy - cr * sp * sy,
            cr * sp * cy + sr * cp * sy,
            cr * cp * sy - sr * sp * cy,
        ]
    )
    length = float(np.linalg.norm(axis))
    if length < 1e-12:
        return np.zeros(3)
    angle = 2 * np.arctan2(length, abs(w))
    return axis / length * angle * (1.0 if w >= 0 else -1.0)


def quaternion_to_matrix(quaternion: np.ndarray) -> np.ndarray:
    """(4,) w x y z to a rotation (3, 3)."""
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def matrix_to_euler(matrix: np.ndarray) -> np.ndarray:
    """A rotation (3, 3) to roll, pitch, yaw (3,) about fixed axes, rad."""
    level = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    pitch = np.arctan2(-matrix[2, 0], level)
    if level < 1e-9:  # straight up or down: roll and yaw turn about the same axis
        return np.array([np.arctan2(-matrix[1, 2], matrix[1, 1]), pitch, 0.0])
    roll = np.arctan2(matrix[2, 1], matrix[2, 2])
    return np.array([roll, pitch, np.arctan2(matrix[1, 0], matrix[0, 0])])


def bridge_state(tool: np.ndarray) -> np.ndarray:
    """(8,) x y z, w x y z, openness in the base's frame to position, angles, openness (7,)."""
    angles = matrix_to_euler(quaternion_to_matrix(tool[3:7]) @ _TOP_DOWN.T)
    return np.array([*tool[:3], *angles, tool[7]], np.float32)


def fractal_state(tool: np.ndarray) -> np.ndarray:
    """(8,) x y z, w x y z, openness to position, x y z w, how far it is closed (8,)."""
    return np.array([*tool[:3], *np.roll(tool[3:7], -1), 1 - tool[7]], np.float32)


def bridge_gripper(opening: float) -> float:
    """WidowX: 1 opens and -1 closes, nothing between."""
    return 1.0 if opening > 0.5 else -1.0


def fractal_gripper(opening: float) -> float:
    """Google robot: a change, 1 closes and -1 opens; it does not stick."""
    return float(np.clip(1 - 2 * opening, -1, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class SimplerRobot:
    """One of the two.

    Attributes:
        spec: As a body; a policy's action in, a policy's state out.
        camera: That the policy sees through, by the simulator's name.
        control_mode: Of ManiSkill2.
        sim_rate_hz: Physics steps a second.
        state: From the simulator's `eef_pos`.
        gripper: From the policy's openness to the simulator's command.
    """

    spec: EmbodimentSpec
    camera: str
    control_mode: str
    sim_rate_hz: int
    state: Callable[[np.ndarray], np.ndarray]
    gripper: Callable[[float], float]

    def command(self, action: np.ndarray) -> np.ndarray:
        """A policy's action (7,) as the simulator's: metres, axis times angle, gripper."""
        wide = np.asarray(action, np.float64)
        turn = euler_to_axis_angle(wide[3:6])
        return np.array([*wide[:3], *turn, self.gripper(float(wide[6]))])


def _spec(layout: str, name: str, rate_hz: float, height: int, width: int) -> EmbodimentSpec:
    columns = released_layout(layout)
    (view,) = columns.views
    return EmbodimentSpec(
        name=name,
        rate_hz=rate_hz,
        cameras=(CameraSpec(name="base", view=view, height=height, width=width),),
        action_space=ActionSpace(
            names=tuple(columns.actions),
            # not "rad": a change in a step is no speed to be limited
            units=("m/step",) * 3 + ("rad/step",) * 3 + ("1",),
            low=np.array([*(-1.0,) * 3, *(-np.pi / 2,) * 3, 0.0], np.float32),
            high=np.array([*(1.0,) * 3, *(np.pi / 2,) * 3, 1.0], np.float32),
            delta=(*(True,) * 6, False),
            initial=np.array([*(0.0,) * 6, 1.0], np.float32),
        ),
        slots=tuple(columns.actions.values()),
        relative=(False,) * 7,
        instruction="what the task says",
        state_space=StateSpace(names=tuple(columns.states), slots=tuple(columns.states.values())),
    )


WIDOWX = SimplerRobot(
    spec=_spec("bridge", "simpler-widowx", 5.0, 256, 256),
    camera="3rd_view_camera",
    control_mode="arm_pd_ee_target_delta_pose_align2_gripper_pd_joint_pos",
    sim_rate_hz=500,
    state=bridge_state,
    gripper=bridge_gripper,
)
GOOGLE = SimplerRobot(
    spec=_spec("fractal", "simpler-google", 3.0, 256, 320),
    camera="overhead_camera",
    control_mode="arm_pd_ee_delta_pose_align_interpolate_by_planner_"
    "gripper_pd_joint_target_delta_pos_interpolate_by_planner",
    sim_rate_hz=513,
    state=fractal_state,
    gripper=fractal_gripper,
)
ROBOTS = {"widowx": WIDOWX, "google": GOOGLE}
