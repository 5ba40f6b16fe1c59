"""Joints, cameras, limits and policy slots of the nut station (docs/station.md)."""

import numpy as np

from takt.embodiments.nut_station.cycle import SIDES
from takt.types import ActionSpace, CameraSpec, EmbodimentSpec, Mirror

RATE_HZ = 30.0
INSTRUCTION = "Install a nut on each pin."

# Joint order per arm: base yaw, shoulder, elbow, wrist pitch, wrist roll, tool yaw.
JOINTS = ("base_yaw", "shoulder", "elbow", "wrist_pitch", "wrist_roll", "tool_yaw")
JOINT_LIMIT_RAD = (2.6, 2.2, 2.6, 2.2, 1.2, 2.8)
GRIPPER_CLOSED_M = 0.016  # jaw gap command that squeezes a nut; below its 32 mm body
GRIPPER_OPEN_M = 0.056

_LOW = (*(-limit for limit in JOINT_LIMIT_RAD), GRIPPER_CLOSED_M)
_HIGH = (*JOINT_LIMIT_RAD, GRIPPER_OPEN_M)

SPEC = EmbodimentSpec(
    name="nut-station",
    rate_hz=RATE_HZ,
    cameras=(
        CameraSpec(name="ego", view="Ego View", height=64, width=64),
        CameraSpec(name="left_wrist", view="Left-Wrist View", height=64, width=64),
        CameraSpec(name="right_wrist", view="Right-Wrist View", height=64, width=64),
    ),
    action_space=ActionSpace(
        names=tuple(f"{side}_{axis}" for side in SIDES for axis in (*JOINTS, "gripper")),
        units=("rad",) * 6 + ("m",) + ("rad",) * 6 + ("m",),
        low=np.array(_LOW * 2, np.float32),
        high=np.array(_HIGH * 2, np.float32),
    ),
    slots=(7, 8, 9, 10, 11, 12, 6, 21, 22, 23, 24, 25, 26, 20),
    relative=((True,) * 6 + (False,)) * 2,
    instruction=INSTRUCTION,
    mirror=Mirror(
        axes=(*range(7, 14), *range(7)),
        # Yaw and roll axes lie in the mirror plane and change sign; pitch axes and jaws do not.
        signs=(-1.0, 1.0, 1.0, 1.0, -1.0, -1.0, 1.0) * 2,
        cameras=(0, 2, 1),
    ),
)
