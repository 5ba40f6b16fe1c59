"""Closed-form kinematics of the station's arm, tool pointing down (link lengths: scene/arm.xml)."""

import numpy as np
from jaxtyping import Float

SHOULDER_HEIGHT_M = 0.32
UPPER_ARM_M = 0.34
FOREARM_M = 0.32
TOOL_M = 0.17  # wrist centre to fingertip site
BASE_Y_M = {"left": 0.22, "right": -0.22}


def joints_from_tip(side: str, tip: Float[np.ndarray, " 3"], yaw: float) -> Float[np.ndarray, " 6"]:
    """Joint angles (rad): fingertip at `tip` (m, world), tool down, jaws turned by `yaw` (rad).

    A point out of reach is pulled back onto the reachable sphere.
    """
    dx, dy = tip[0], tip[1] - BASE_Y_M[side]
    base_yaw = np.arctan2(dy, dx)
    radius, height = np.hypot(dx, dy), tip[2] + TOOL_M - SHOULDER_HEIGHT_M
    cosine = (radius**2 + height**2 - UPPER_ARM_M**2 - FOREARM_M**2) / (2 * UPPER_ARM_M * FOREARM_M)
    bend = np.arccos(np.clip(cosine, -1.0, 1.0))
    shoulder = np.arctan2(height, radius) + np.arctan2(
        FOREARM_M * np.sin(bend), UPPER_ARM_M + FOREARM_M * np.cos(bend)
    )
    pitch = -np.pi / 2 - shoulder + bend
    return np.array([base_yaw, shoulder, -bend, pitch, 0.0, base_yaw - yaw])


def tip_from_joints(
    side: str, joints: Float[np.ndarray, " 6"]
) -> tuple[Float[np.ndarray, " 3"], float]:
    """Fingertip (m, world) and jaw yaw (rad) of an arm whose tool is close to pointing down.

    Roll and pitch errors enter to first order only through the pitch chain; wrist roll is ignored.
    """
    base_yaw, shoulder, elbow, pitch, _, tool_yaw = joints
    lower, tool = shoulder + elbow, shoulder + elbow + pitch
    radius = UPPER_ARM_M * np.cos(shoulder) + FOREARM_M * np.cos(lower) + TOOL_M * np.cos(tool)
    height = UPPER_ARM_M * np.sin(shoulder) + FOREARM_M * np.sin(lower) + TOOL_M * np.sin(tool)
    tip = np.array(
        [
            radius * np.cos(base_yaw),
            radius * np.sin(base_yaw) + BASE_Y_M[side],
            height + SHOULDER_HEIGHT_M,
        ]
    )
    return tip, float(base_yaw - tool_yaw)
