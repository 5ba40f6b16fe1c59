"""Statistics per embodiment: of state, action and touch with exact quantiles.

A dataset's own stats.json is not used: its quantiles are averages of per-episode quantiles.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from beartype import beartype
from jaxtyping import Float64, jaxtyped

from takt.datasets.episode_table import EpisodeTable
from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.moments import QUANTILES, Moments
from takt.types import TaktError


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
    """Statistics of one body over all its datasets.

    `touch` is None without a touch column. `extras[name]` covers the datasets that have that
    column; its quantiles are not exact.
    """

    embodiment: str
    num_episodes: int
    state: Statistics
    action: Statistics
    touch: Statistics | None
    extras: Mapping[str, Moments]


def embodiment_statistics(datasets: Iterable[LeRobotDataset]) -> Mapping[str, EmbodimentStatistics]:
    """Statistics by embodiment over the episodes of all `datasets`.

    Episodes are read one after the other; only their states, actions and touches are kept: extras
    can be hundreds of numbers wide.

    Raises:
        DatasetError: a file is missing or damaged.
        TaktError: two datasets of one embodiment differ in width, or there is no frame.
    """
    columns: dict[str, _Columns] = {}
    for dataset in datasets:
        for table in dataset.tables():
            name = dataset.metadata.embodiment
            columns.setdefault(name, _Columns(name)).add(table)
    return {name: body.statistics() for name, body in columns.items()}


class _Columns:
    """What is kept of the episodes of one embodiment."""

    def __init__(self, embodiment: str) -> None:
        self._embodiment = embodiment
        self._states: list[np.ndarray] = []
        self._actions: list[np.ndarray] = []
        self._touches: list[np.ndarray] = []
        self._extras: dict[str, Moments] = {}

    def add(self, table: EpisodeTable) -> None:
        self._states.append(table.state)
        self._actions.append(table.actions)
        if table.touch is not None and table.touch.shape[1]:
            self._touches.append(table.touch)
        for name, rows in table.extras.items():
            if len(rows):
                before = [self._extras[name]] if name in self._extras else []
                parts = [*before, Moments.of(rows)]
                self._require_one_width(f"column {name!r}", [part.mean.size for part in parts])
                self._extras[name] = Moments.merged(parts)

    def statistics(self) -> EmbodimentStatistics:
        return EmbodimentStatistics(
            embodiment=self._embodiment,
            num_episodes=len(self._states),
            state=Statistics.of(self._joined("state", self._states)),
            action=Statistics.of(self._joined("action", self._actions)),
            touch=Statistics.of(self._joined("touch", self._touches)) if self._touches else None,
            extras=self._extras,
        )

    def _joined(self, column: str, parts: list[np.ndarray]) -> np.ndarray:
        self._require_one_width(column, [part.shape[1] for part in parts])
        return np.concatenate(parts)

    def _require_one_width(self, column: str, widths: list[int]) -> None:
        if len(set(widths)) > 1:
            raise TaktError(
                f"embodiment {self._embodiment!r}: expected one width of {column} in all "
                f"datasets, got {sorted(set(widths))}"
            )
