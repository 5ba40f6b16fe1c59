"""The images of an episode that are asked about; no others are decoded or kept."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from takt.datasets.labelling.config import LabelConfig
from takt.datasets.lerobot_source import LeRobotSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """Every `stride`-th tick's image of each camera, (frame, height, width, 3) uint8 RGB.

    `cameras` are looked through; recorded points are those of the dataset's first camera.
    """

    images: Mapping[str, np.ndarray]
    stride: int
    cameras: tuple[str, ...]
    points_camera: str

    @classmethod
    def read(cls, source: LeRobotSource, index: int, config: LabelConfig) -> "Frames":
        """Decode one camera of episode `index` after the other.

        Raises:
            DatasetError: a file is missing or damaged.
        """
        known = [camera.name for camera in source.schema.spec.cameras]
        cameras = config.cameras or tuple(known)
        stride = max(1, round(config.every_s * source.schema.spec.rate_hz))
        needed = dict.fromkeys([*cameras, *known[: 1 if config.points else 0]])
        images = {
            camera: source.dataset.images(index, camera)[::stride].copy() for camera in needed
        }
        return cls(images=images, stride=stride, cameras=cameras, points_camera=known[0])

    def ticks(self) -> range:
        """Those with images."""
        count = len(next(iter(self.images.values())))
        return range(0, count * self.stride, self.stride)

    def at(self, tick: int, camera: str) -> np.ndarray:
        """(height, width, 3) uint8 RGB."""
        return self.images[camera][tick // self.stride]
