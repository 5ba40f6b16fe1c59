"""Whether a dataset runs at the rate that it claims."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from takt.datasets.errors import RateMismatchError
from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.metadata import CAPTURE
from takt.datasets.parquet import column_rows, read_table

TOLERANCE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """In Hz: as info.json claims, as the rows' timestamps tell, and new frames by camera.

    None where there are too few rows; cameras without capture times are left out.
    """

    declared: float
    timestamps: float | None
    captures: Mapping[str, float]

    def slow_cameras(self) -> list[str]:
        """Cameras that deliver fewer frames than there are rows: some rows repeat a frame."""
        limit = (1 - TOLERANCE) * self.declared
        return [name for name, rate in self.captures.items() if rate < limit]

    def to_json(self) -> dict[str, object]:
        """Plain numbers by name."""
        return asdict(self)


def measure_rates(dataset: LeRobotDataset) -> Rates:
    """Rates by the median interval within episodes.

    Raises:
        RateMismatchError: the rows' timestamps contradict info.json.
        DatasetError: a file is missing or damaged.
    """
    metadata = dataset.metadata
    cameras = [c.name for c in metadata.cameras if metadata.feature(CAPTURE + c.name)]
    columns = ["timestamp", *(CAPTURE + name for name in cameras)]
    intervals: dict[str, list[np.ndarray]] = {name: [] for name in columns}
    for path in dict.fromkeys(record.data_path for record in metadata.episodes):
        for name, steps in _intervals(path, columns):
            intervals[name].append(steps)
    rates = {name: _rate(steps) for name, steps in intervals.items()}
    measured = rates["timestamp"]
    if measured is not None and abs(measured / metadata.fps - 1) > TOLERANCE:
        raise RateMismatchError(
            metadata.root / "meta" / "info.json",
            f"fps: expected the rate of the timestamps, {measured:.4g} Hz, got {metadata.fps:g}; "
            "if the timestamps are right, correct fps here, else record or convert it again",
        )
    captures = {name: rates[CAPTURE + name] for name in cameras}
    return Rates(
        declared=metadata.fps,
        timestamps=measured,
        captures={name: rate for name, rate in captures.items() if rate is not None},
    )


def _intervals(path: Path, columns: list[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Steps between neighbours of one episode, by column; a repeated frame makes none."""
    table = read_table(path, ["episode_index", *columns])
    same = np.diff(column_rows(table, "episode_index", path)[:, 0]) == 0
    for name in columns:
        stamps = column_rows(table, name, path)[:, 0].astype(np.float64)
        new = np.flatnonzero(np.r_[True, ~same | (np.diff(stamps) != 0)])
        episode = np.r_[0, np.cumsum(~same)][new]
        steps, within = np.diff(stamps[new]), np.diff(episode) == 0
        yield name, steps[within]


def _rate(parts: list[np.ndarray]) -> float | None:
    steps = np.concatenate(parts) if parts else np.zeros(0)
    middle = float(np.median(steps)) if len(steps) else 0.0
    return 1 / middle if middle > 0 else None
