"""A source at another rate, its streams aligned by their capture times."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from takt.datasets.errors import CaptureTimeError, DatasetError
from takt.datasets.lerobot_source import LeRobotSource
from takt.datasets.schema import Schema
from takt.datasets.source import EpisodeSource
from takt.transforms.alignment import Rule, align
from takt.types import Episode, TaktError

JOINTS = "joints"
# The rows themselves are one more stream: what is not interpolated goes by it.
_ROWS = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampled:
    """The episodes of `source` at `rate_hz`, from the instant at which every stream has begun.

    Images and extra columns are picked by the rule, states and actions as joints: `causal`
    interpolates them, so actions must be targets and no differences per tick. A frame that
    `nearest` takes from after its tick is stored as captured at the tick.
    """

    source: EpisodeSource
    rate_hz: float
    rule: Rule = "causal"

    def __post_init__(self) -> None:
        """The rate is one."""
        if not 0 < self.rate_hz < np.inf:
            raise TaktError(f"expected a rate above 0 Hz, got {self.rate_hz:g}")

    @property
    def schema(self) -> Schema:
        """The source's at the new rate."""
        spec = replace(self.source.schema.spec, rate_hz=self.rate_hz)
        return replace(self.source.schema, spec=spec)

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.source)

    def path(self, index: int) -> Path:
        """The file that holds the episode."""
        return self.source.path(index)

    def episode(self, index: int) -> Episode:
        """Read one episode and resample it.

        Raises:
            CaptureTimeError: capture times go backwards.
            DatasetError: the source cannot read it.
        """
        old = self.source.episode(index)
        streams = {_ROWS: old.stamps, **old.image_stamps}
        ticks = shared_ticks(streams, self.rate_hz, self.path(index))
        states = [align(t, streams, old.stamps, old.state, self.rule) for t in ticks]
        actions = [align(t, {}, old.stamps, old.actions, self.rule).joints for t in ticks]
        picked = {name: [one.frames[name] for one in states] for name in streams}
        rows, stamps = picked[_ROWS], np.arange(len(ticks)) / self.rate_hz
        return replace(
            old,
            rate_hz=self.rate_hz,
            stamps=stamps,
            images={name: frames[picked[name]] for name, frames in old.images.items()},
            image_stamps={
                name: np.minimum(captured[picked[name]] - ticks[0], stamps)
                for name, captured in old.image_stamps.items()
            },
            state=np.stack([one.joints for one in states]),
            actions=np.stack(actions),
            touch=None if old.touch is None else old.touch[rows],
            extras={name: values[rows] for name, values in old.extras.items()},
            instructions=tuple(old.instructions[row] for row in rows) if old.instructions else (),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Skew:
    """How far a stream's samples lie from the ticks that they are used at, in seconds."""

    mean_s: float
    max_s: float


def measure_skews(source: LeRobotSource, rate_hz: float, rule: Rule) -> Mapping[str, Skew]:
    """By camera, and of the joint samples before they are interpolated; no image is read.

    Episodes that cannot be read do not count.
    """
    gaps: dict[str, list[np.ndarray]] = {}
    for index in range(len(source.dataset)):
        try:
            table = source.dataset.table(index)
            streams = {JOINTS: table.stamps, **table.image_stamps}
            ticks = shared_ticks(streams, rate_hz, source.path(index))
        except DatasetError:
            continue
        aligned = [align(t, streams, table.stamps, table.state, rule) for t in ticks]
        for name, stamps in streams.items():
            picked = stamps[[one.frames[name] for one in aligned]]
            gaps.setdefault(name, []).append(np.abs(ticks - picked))
    return {name: _skew(parts) for name, parts in gaps.items()}


def shared_ticks(streams: Mapping[str, np.ndarray], rate_hz: float, path: Path) -> np.ndarray:
    """Ticks from the first instant that every stream has a sample for, to the last row.

    Raises:
        CaptureTimeError: a stream's times go backwards, or the streams do not overlap.
    """
    for name, stamps in streams.items():
        back = np.flatnonzero(~(np.diff(stamps) >= 0))
        if len(back):
            raise CaptureTimeError(
                path, f"camera {name!r}: capture times go backwards after row {back[0]}"
            )
    first = max(stamps[0] for stamps in streams.values())
    last = next(iter(streams.values()))[-1]
    # a microsecond of grace, as in the alignment rule
    count = int(np.floor((last - first) * rate_hz + 1e-6)) + 1
    if count < 1:
        raise CaptureTimeError(path, "a camera's first frame comes after the last row")
    return first + np.arange(count) / rate_hz


def _skew(parts: list[np.ndarray]) -> Skew:
    gaps = np.concatenate(parts)
    return Skew(mean_s=float(gaps.mean()), max_s=float(gaps.max()))
