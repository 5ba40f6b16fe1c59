"""Changes of a LIBERO scene that a policy should not mind, one kind at a time, drawn per trial.

In the manner of LIBERO-Plus, not its 10,030 variants: kinds are alike, ranges are ours.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np

from takt.benchmarks.suites.suite import SuiteError

Kind = Literal["none", "camera", "light", "background", "robot", "language", "noise"]

# Ranges are chosen so that the task stays in view and in reach.
AZIMUTH_RAD, NEARER = 0.2, 0.1  # of the third-person camera round the workspace; share of distance
BRIGHTNESS = (0.4, 1.6)  # times each light's colour
TINT = (0.4, 1.0)  # times the colour of floor, walls and tables
JOINTS_RAD = 0.08  # standard deviation of each arm joint at the beginning
GREY_LEVELS = (10.0, 30.0)  # standard deviation of the noise on every pixel, of 255
REQUESTS = ("Please {}.", "I need you to {}.", "Could you {}?", "Your next job: {}.")
_BACKGROUND = ("floor", "wall", "table")
_CHANGED = ("cam_pos", "cam_quat", "light_diffuse", "light_ambient", "mat_rgba")


class Perturbation:
    """What one kind of change does to a trial; `none` does nothing."""

    def __init__(self, kind: Kind) -> None:
        """Raises a `SuiteError` for an unknown kind."""
        if kind not in get_args(Kind):
            raise SuiteError(
                f"expected a perturbation of {', '.join(get_args(Kind))}, got {kind!r}; choose one"
            )
        self._kind = kind
        self._original: dict[str, np.ndarray] = {}
        self._draw = np.random.default_rng(0)

    def begin(self, seed: int, model: Any) -> None:  # noqa: ANN401 - of the simulator's environment
        """Draw anew; the model is LIBERO's own again before it is changed."""
        self._draw = np.random.default_rng(seed)
        self._noise = self._draw.uniform(*GREY_LEVELS)
        if self._kind in ("camera", "light", "background"):
            for name in _CHANGED:
                field = getattr(model, name)
                field[:] = self._original.setdefault(name, field.copy())
        match self._kind:
            case "camera":
                self._move_camera(model)
            case "light":
                lights = self._draw.uniform(*BRIGHTNESS, (model.nlight, 3))
                model.light_diffuse[:] *= lights
                model.light_ambient[:] *= lights
            case "background":
                names = [model.material(at).name for at in range(model.nmat)]
                found = [at for at, name in enumerate(names) if any(b in name for b in _BACKGROUND)]
                model.mat_rgba[found, :3] *= self._draw.uniform(*TINT, (len(found), 3))

    def initial(self, state: np.ndarray, joints: np.ndarray) -> np.ndarray:
        """The initial state to begin from; `joints` are the places of the arm's in it."""
        if self._kind != "robot":
            return state
        state = state.copy()
        state[joints] += self._draw.normal(0, JOINTS_RAD, len(joints))
        return state

    def instruction(self, text: str) -> str:
        """How the task is told."""
        if self._kind != "language":
            return text
        task = text.rstrip(".")
        return REQUESTS[self._draw.integers(len(REQUESTS))].format(task[0].lower() + task[1:])

    def images(self, images: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """What the cameras give."""
        if self._kind != "noise":
            return images
        return {name: self._grain(image) for name, image in images.items()}

    def _grain(self, image: np.ndarray) -> np.ndarray:
        noisy = image + self._draw.normal(0, self._noise, image.shape)
        return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)

    def _move_camera(self, model: Any) -> None:  # noqa: ANN401
        """Round the vertical through the world's middle, and nearer or farther."""
        at = model.camera("agentview").id
        angle = self._draw.uniform(-AZIMUTH_RAD, AZIMUTH_RAD)
        nearer = 1 + self._draw.uniform(-NEARER, NEARER)
        c, s = np.cos(angle), np.sin(angle)
        x, y, z = model.cam_pos[at]
        model.cam_pos[at] = [nearer * (c * x - s * y), nearer * (s * x + c * y), z]
        model.cam_quat[at] = _turned_about_z(model.cam_quat[at], angle)


def _turned_about_z(quaternion: np.ndarray, angle: float) -> np.ndarray:
    """A turn about the world's z after `quaternion` (w, x, y, z)."""
    c, s = np.cos(angle / 2), np.sin(angle / 2)
    w, x, y, z = quaternion
    return np.array([c * w - s * z, c * x - s * y, c * y + s * x, c * z + s * w])
