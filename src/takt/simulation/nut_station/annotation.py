"""Image coordinates of named points: training targets for grounding, never a policy's input."""

import mujoco
import numpy as np
from jaxtyping import Float32

from takt.embodiments.nut_station.cycle import SIDES

# Points in their body's frame (m): nut's top centre and paint mark; pin's dome and the end of its
# painted line.
NUT_POINTS = ((0.0, 0.0, 0.02), (0.0124, 0.0, 0.02))
PIN_POINTS = ((0.0, 0.0, 0.027), (0.042, 0.0, -0.012))
# Ego: both nuts' and both pins' first point. Each wrist: its own side's four points.
NUM_POINTS = 12
UNSEEN = 9.0
POINTS_KEY = "annotation.points"


def project_points(model: mujoco.MjModel, data: mujoco.MjData) -> Float32[np.ndarray, " coords"]:
    """(x, y) per point, right and down positive: [-1, 1] inside the image.

    9 outside it or behind the camera. Occlusion is not tested.
    """
    coords = []
    for side in SIDES:
        coords += [_project(model, data, "ego", f"{side}_nut", NUT_POINTS[0])]
        coords += [_project(model, data, "ego", f"{side}_pin", PIN_POINTS[0])]
    for side in SIDES:
        coords += [_project(model, data, f"{side}_wrist", f"{side}_nut", p) for p in NUT_POINTS]
        coords += [_project(model, data, f"{side}_wrist", f"{side}_pin", p) for p in PIN_POINTS]
    return np.concatenate(coords).astype(np.float32)


def _project(
    model: mujoco.MjModel, data: mujoco.MjData, camera: str, body: str, point: tuple[float, ...]
) -> np.ndarray:
    frame, eye = data.body(body), data.cam(camera)
    world = frame.xpos + frame.xmat.reshape(3, 3) @ point
    x, y, z = eye.xmat.reshape(3, 3).T @ (world - eye.xpos)
    if z > -1e-3:  # MuJoCo cameras look along -z
        return np.full(2, UNSEEN)
    scale = np.tan(np.radians(model.cam(camera).fovy[0]) / 2)
    image = np.array([x / -z, y / z]) / scale
    return image if np.all(np.abs(image) <= 1) else np.full(2, UNSEEN)
