"""Statistics of state and action per embodiment, exact quantiles included.

A dataset's own stats.json is not used: its quantiles are averages of per-episode quantiles.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from beartype import beartype
from jaxtyping import Float64, jaxtyped

from takt.datasets.lerobot import LeRobotDataset
from takt.types import TaktError

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Per-axis statistics of `count` rows, in the axis's own unit; population `std`."""

    count: int
    min: Float64[np.ndarray, " axis"]
    max: Float64[np.ndarray, " axis"]
    mean: Float64[np.ndarray, " axis"]
    std: Float64[np.ndarray, " axis"]
    q01: Float64[np.ndarray, " axis"]
    q10: Float64[np.ndarray, " axis"]
    q50: Float64[np.ndarray, " axis"]
    q90: Float64[np.ndarray, " axis"]
    q99: Float64[np.ndarray, " axis"]

    @classmethod
    def of(cls, rows: np.ndarray) -> "Statistics":
        """Statistics of (row, axis); at least one row."""
        if not len(rows):
            raise TaktError(
                "statistics: expected at least one row, got none; record an episode first"
            )
        quantiles = np.quantile(rows, list(QUANTILES.values()), axis=0).astype(np.float64)
        return cls(
            count=len(rows),
            min=rows.min(axis=0).astype(np.float64),
            max=rows.max(axis=0).astype(np.float64),
            mean=rows.mean(axis=0, dtype=np.float64),
            std=rows.std(axis=0, dtype=np.float64),
            **dict(zip(QUANTILES, quantiles, strict=True)),
        )

    def to_json(self) -> dict[str, list[float] | int]:
        """Plain numbers by name."""
        vectors = ("min", "max", "mean", "std", *QUANTILES)
        return {"count": self.count, **{name: getattr(self, name).tolist() for name in vectors}}


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbodimentStatistics:
    """Statistics of one body over all its datasets."""

    embodiment: str
    num_episodes: int
    state: Statistics
    action: Statistics


def embodiment_statistics(datasets: Iterable[LeRobotDataset]) -> Mapping[str, EmbodimentStatistics]:
    """Statistics by embodiment over the episodes of all `datasets`.

    Episodes are read one after the other; only their states and actions are kept, never an image.

    Raises:
        DatasetError: a file is missing or damaged.
        TaktError: two datasets of one embodiment differ in width, or there is no frame.
    """
    states: dict[str, list[np.ndarray]] = {}
    actions: dict[str, list[np.ndarray]] = {}
    for dataset in datasets:
        for table in dataset.tables():
            states.setdefault(dataset.metadata.embodiment, []).append(table.state)
            actions.setdefault(dataset.metadata.embodiment, []).append(table.actions)
    return {
        name: EmbodimentStatistics(
            embodiment=name,
            num_episodes=len(states[name]),
            state=Statistics.of(_joined(states[name], name)),
            action=Statistics.of(_joined(actions[name], name)),
        )
        for name in states
    }


def _joined(parts: list[np.ndarray], embodiment: str) -> np.ndarray:
    widths = sorted({part.shape[1] for part in parts})
    if len(widths) > 1:
        raise TaktError(
            f"embodiment {embodiment!r}: expected one width in all datasets, got {widths}"
        )
    return np.concatenate(parts)
