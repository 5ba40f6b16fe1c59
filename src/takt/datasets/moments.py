"""Mean, spread and range that merge exactly, as an episode stores them for each feature."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NAMES = ("min", "max", "mean", "std")
# Frames of one episode are much alike: every tenth gives the colour statistics of all.
IMAGE_STRIDE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Over `count` rows; arrays have the shape of one row, for images (channel, 1, 1) in 0..1."""

    count: int
    min: np.ndarray
    max: np.ndarray
    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> "Moments":
        """Of (row, n)."""
        wide = rows.astype(np.float64)
        return cls(
            count=len(wide), min=wide.min(0), max=wide.max(0), mean=wide.mean(0), std=wide.std(0)
        )

    @classmethod
    def of_images(cls, frames: np.ndarray) -> "Moments":
        """Per channel of (tick, height, width, 3) uint8, from a sample of the frames."""
        sample = frames[::IMAGE_STRIDE].astype(np.float64) / 255.0
        pixels = sample.reshape(-1, sample.shape[-1])
        column = (-1, 1, 1)
        return cls(
            count=len(sample),
            min=pixels.min(0).reshape(column),
            max=pixels.max(0).reshape(column),
            mean=pixels.mean(0).reshape(column),
            std=pixels.std(0).reshape(column),
        )

    @classmethod
    def merged(cls, parts: Sequence["Moments"]) -> "Moments":
        """Of all rows of `parts` together."""
        counts = np.array([part.count for part in parts], np.float64)
        weights = (counts / counts.sum()).reshape(-1, *[1] * parts[0].mean.ndim)
        means = np.stack([part.mean for part in parts])
        mean = (weights * means).sum(0)
        spread = np.stack([part.std for part in parts]) ** 2 + (means - mean) ** 2
        return cls(
            count=int(counts.sum()),
            min=np.min([part.min for part in parts], axis=0),
            max=np.max([part.max for part in parts], axis=0),
            mean=mean,
            std=np.sqrt((weights * spread).sum(0)),
        )

    def to_json(self) -> dict[str, list]:
        """As stats.json and the episode rows keep it."""
        return {**{name: getattr(self, name).tolist() for name in NAMES}, "count": [self.count]}

    @classmethod
    def from_json(cls, raw: dict[str, list]) -> "Moments":
        """Inverse of `to_json`."""
        return cls(count=int(raw["count"][0]), **{name: np.asarray(raw[name]) for name in NAMES})
