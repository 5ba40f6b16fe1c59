"""Where recorded image points go: targets for point-trajectory prediction (paper section 2.1)."""

import numpy as np

from takt.datasets.errors import FeatureMismatchError
from takt.datasets.labelling.config import LabelConfig
from takt.datasets.lerobot_source import LeRobotSource
from takt.transforms.qwen_coordinates import points_text
from takt.types import Episode, Turn

WAYPOINTS = 8
_LEAST_WAY = 0.04  # of the image's 2.0: what moves less teaches that nothing moves


def require_points(source: LeRobotSource, config: LabelConfig) -> None:
    """Raise a `FeatureMismatchError` where points are named that the dataset does not have."""
    width = source.schema.extras.get(config.points_key, 0)
    if width < 2 * len(config.points):
        raise FeatureMismatchError(
            source.dataset.metadata.root,
            f"expected a column {config.points_key} with {len(config.points)} points (x, y), got "
            f"{width // 2}; name fewer --points, or another --points-key",
        )


def point_turns(episode: Episode, tick: int, config: LabelConfig) -> list[Turn]:
    """A turn for each named point that stays in view and moves on the way."""
    ahead = round(config.horizon_s * episode.rate_hz)
    if not config.points or ahead < 1 or tick + ahead >= len(episode.stamps):
        return []
    ticks = np.unique(np.rint(np.linspace(tick, tick + ahead, WAYPOINTS)).astype(int))
    rows = episode.extras[config.points_key][ticks]
    tracks = rows[:, : 2 * len(config.points)].reshape(len(ticks), -1, 2)
    return [
        Turn(_question(name, config.horizon_s, len(ticks)), points_text(tracks[:, k], name))
        for k, name in enumerate(config.points)
        if _is_seen_to_move(tracks[:, k])
    ]


def _question(name: str, horizon_s: float, count: int) -> str:
    return f"Where does the {name} move over the next {horizon_s:g} s? Give {count} points."


def _is_seen_to_move(track: np.ndarray) -> bool:
    inside = bool(np.all(np.abs(track) <= 1))
    return inside and float(np.ptp(track, axis=0).max()) >= _LEAST_WAY
