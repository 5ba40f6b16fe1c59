"""Boxes and points as text in Qwen3-VL's way: JSON, thousandths of the image from the top left.

So `takt data label` writes them, since a pre-trained Qwen3-VL already answers so. Our own small
models begin with nothing and answer in hundredths: `takt.transforms.image_points`.
"""

import json
from collections.abc import Iterable

import numpy as np

SCALE = 1000


def boxes_text(boxes: np.ndarray, label: str, size: tuple[int, int]) -> str:
    """`boxes` (n, 4) in pixels of an image of `size` (height, width)."""
    height, width = size
    shares = boxes / [width, height, width, height]
    return _json({"bbox_2d": _grid(box), "label": label} for box in shares)


def points_text(points: np.ndarray, label: str) -> str:
    """`points` (n, 2), in [-1, 1] from left to right and from top to bottom."""
    return _json({"point_2d": _grid((point + 1) / 2), "label": label} for point in points)


def _grid(shares: np.ndarray) -> list[int]:
    return np.clip(np.rint(shares * SCALE), 0, SCALE).astype(int).tolist()


def _json(entries: Iterable[dict[str, object]]) -> str:
    return json.dumps(list(entries), ensure_ascii=False)
