"""Boxes that several detectors agree on (paper section 2.1: cross-validation consensus)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from takt.transforms.detections import Detections, Detector, iou


@dataclass(frozen=True, slots=True)
class Agreed:
    """A phrase's boxes (n, 4), each the mean of those that agree; `left_out` agreed with none."""

    boxes: np.ndarray
    left_out: int


def agree(found: Sequence[Detections], votes: int, overlap: float) -> Agreed:
    """Groups of boxes, at most one of each detector, of at least `votes` detectors.

    A group is begun by the highest score left; of every other detector it gets the box that
    overlaps most with the first one, if that is an IoU of at least `overlap`.
    """
    seeds = sorted(
        ((found[d].scores[k], -d, -k) for d in range(len(found)) for k in range(len(found[d]))),
        reverse=True,
    )
    used: set[tuple[int, int]] = set()
    boxes: list[np.ndarray] = []
    left_out = 0
    for _, minus_detector, minus_box in seeds:
        seed = (-minus_detector, -minus_box)
        if seed in used:
            continue
        group = [seed, *_partners(found, seed, used, overlap)]
        if len(group) < votes:
            left_out += 1
            continue
        used |= set(group)
        boxes.append(np.mean([found[d].boxes[k] for d, k in group], axis=0))
    return Agreed(np.array(boxes).reshape(-1, 4), left_out)


def ground(
    image: np.ndarray,
    phrases: Sequence[str],
    detectors: Sequence[Detector],
    votes: int,
    overlap: float,
) -> list[Agreed]:
    """What the detectors agree on for each phrase."""
    found = [detector.detect(image, phrases) for detector in detectors]
    return [agree(each, votes, overlap) for each in zip(*found, strict=True)]


def _partners(
    found: Sequence[Detections], seed: tuple[int, int], used: set[tuple[int, int]], overlap: float
) -> list[tuple[int, int]]:
    partners: list[tuple[int, int]] = []
    box = found[seed[0]].boxes[[seed[1]]]
    for d, other in enumerate(found):
        free = [k for k in range(len(other)) if (d, k) not in used]
        if d == seed[0] or not free:
            continue
        shared = iou(box, other.boxes[free])[0]
        best = int(shared.argmax())
        if shared[best] >= overlap:
            partners.append((d, free[best]))
    return partners
