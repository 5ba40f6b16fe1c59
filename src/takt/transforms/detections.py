"""Boxes around what a phrase names. Boxes are (x0, y0, x1, y1) in pixels, from the top left."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, slots=True)
class Detections:
    """What was found for one phrase, best first: boxes (n, 4) and their scores (n,)."""

    boxes: Float[np.ndarray, "n 4"]
    scores: Float[np.ndarray, " n"]

    def __len__(self) -> int:
        """Number of boxes."""
        return len(self.scores)


class Detector(Protocol):
    """Finds what phrases name."""

    def reads(self, phrase: str) -> bool:
        """Whether `detect` takes the phrase."""
        ...

    def detect(self, image: np.ndarray, phrases: Sequence[str]) -> list[Detections]:
        """The boxes of each phrase in `image`, (height, width, 3) uint8 RGB.

        Raises:
            TaktError: a phrase cannot be read.
        """
        ...


class Segmenter(Protocol):
    """Finds the thing that a box is around."""

    def mask_boxes(self, image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Of each of `boxes` (n, 4), the box of the mask inside; empty where there is none."""
        ...


def iou(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (n, 4) with boxes (m, 4): (n, m); 0 for empty ones."""
    low = np.maximum(ours[:, None, :2], theirs[None, :, :2])
    high = np.minimum(ours[:, None, 2:], theirs[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    union = _area(ours)[:, None] + _area(theirs)[None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared, float), where=union > 0)


def distinct(boxes: np.ndarray, scores: np.ndarray, least: float, overlap: float) -> Detections:
    """Those that score at least `least`, best first, without any that a better one overlaps."""
    order = [k for k in np.argsort(-scores, kind="stable") if scores[k] >= least]
    shared = iou(boxes, boxes)
    kept: list[int] = []
    for k in order:
        if all(shared[k, other] < overlap for other in kept):
            kept.append(int(k))
    return Detections(boxes[kept], scores[kept])


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=-1)
