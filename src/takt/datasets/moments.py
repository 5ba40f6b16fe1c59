"""Statistics of a feature that can be merged, as an episode stores them for each feature.

Range, mean and spread merge exactly. Quantiles merge as lerobot does it, to the mean of the parts'
quantiles weighted by their rows: far too narrow where episodes differ (`statistics` is exact).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
NAMES = ("min", "max", "mean", "std")
# Frames of one episode are much alike: every tenth gives the colour statistics of all.
IMAGE_STRIDE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Over `count` rows; arrays have the shape of one row, for images (channel, 1, 1) in 0..1.

    `quantiles` is by the names of `QUANTILES`, empty where one part has none.
    """

    count: int
    min: np.ndarray
    max: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    quantiles: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, rows: np.ndarray) -> "Moments":
        """Of (row, n)."""
        wide = rows.astype(np.float64)
        return cls(
            count=len(wide),
            min=wide.min(0),
            max=wide.max(0),
            mean=wide.mean(0),
            std=wide.std(0),
            quantiles=_quantiles(rows),
        )

    @classmethod
    def of_images(cls, frames: np.ndarray) -> "Moments":
        """Per channel of (tick, height, width, 3) uint8, from a sample of the frames.

        Values are counted frame by frame, so that mapped frames need not fit into memory.
        """
        sample, levels = frames[::IMAGE_STRIDE], np.arange(256)
        counts = np.zeros((3, 256), np.int64)
        for frame in sample:
            counts += [np.bincount(frame[..., k].ravel(), minlength=256) for k in range(3)]
        shares = counts / counts.sum(1, keepdims=True)
        mean = shares @ levels
        std = np.sqrt((shares * (levels - mean[:, None]) ** 2).sum(1))

        def share(values: np.ndarray) -> np.ndarray:
            return values.reshape(-1, 1, 1) / 255.0

        return cls(
            count=len(sample),
            min=share(_counted_quantile(counts, 0.0)),
            max=share(_counted_quantile(counts, 1.0)),
            mean=share(mean),
            std=share(std),
            quantiles={n: share(_counted_quantile(counts, at)) for n, at in QUANTILES.items()},
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
            quantiles={
                name: (weights * np.stack([part.quantiles[name] for part in parts])).sum(0)
                for name in QUANTILES
                if all(name in part.quantiles for part in parts)
            },
        )

    def to_json(self) -> dict[str, list]:
        """As stats.json and the episode rows keep it."""
        vectors = {**{name: getattr(self, name) for name in NAMES}, **self.quantiles}
        return {
            **{name: values.tolist() for name, values in vectors.items()},
            "count": [self.count],
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, list]) -> "Moments":
        """Inverse of `to_json`."""
        return cls(
            count=int(raw["count"][0]),
            **{name: np.asarray(raw[name]) for name in NAMES},
            quantiles={name: np.asarray(raw[name]) for name in QUANTILES if name in raw},
        )


def _quantiles(rows: np.ndarray) -> dict[str, np.ndarray]:
    values = np.quantile(rows, list(QUANTILES.values()), axis=0).astype(np.float64)
    return dict(zip(QUANTILES, values, strict=True))


def _counted_quantile(counts: np.ndarray, at: float) -> np.ndarray:
    """Of values 0..255 that are there `counts` (channel, 256) times, as NumPy interpolates."""
    rank = at * (counts[0].sum() - 1)
    cumulative = counts.cumsum(1)
    low, high = ((cumulative <= end).sum(1) for end in (np.floor(rank), np.ceil(rank)))
    return low + (rank - np.floor(rank)) * (high - low)
