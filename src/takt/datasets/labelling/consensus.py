"""Boxes that several detectors agree on (paper section 2.1: cross-validation consensus).

Every vote is a detector's own. A segmenter has none, since it looks only where a detector did; it
can refuse what the others agree on, and draws the box closer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from takt.transforms.detections import Detections, Detector, Segmenter, iou


@dataclass(frozen=True, slots=True)
class Agreed:
    """A phrase's boxes (n, 4), the surest first; for `left_out` boxes there was no consensus."""

    boxes: np.ndarray
    left_out: int


def agree(found: Sequence[Detections], votes: int, overlap: float) -> Agreed:
    """The mean boxes of groups, at most one box of each detector, of at least `votes` detectors.

    A group is begun by the highest score left; of every other detector it gets the box that
    overlaps most with the first one, if that is an IoU of at least `overlap`.
    """
    seeds = sorted(
        ((found[d].scores[k], -d, -k) for d in range(len(found)) for k in range(len(found[d]))),
        reverse=True,
    )
    used: set[tuple[int, int]] = set()
    boxes: list[np.ndarray] = []
    for _, minus_detector, minus_box in seeds:
        seed = (-minus_detector, -minus_box)
        if seed in used:
            continue
        group = [seed, *_partners(found, seed, used, overlap)]
        if len(group) >= votes:
            used |= set(group)
            boxes.append(np.mean([found[d].boxes[k] for d, k in group], axis=0))
    return Agreed(np.array(boxes).reshape(-1, 4), len(seeds) - len(used))


def ground(
    image: np.ndarray,
    phrases: Sequence[str],
    detectors: Sequence[Detector],
    segmenter: Segmenter | None,
    votes: int,
    overlap: float,
) -> list[Agreed]:
    """What the detectors agree on for each phrase, and the segmenter where there is one."""
    found = [detector.detect(image, phrases) for detector in detectors]
    agreed = [agree(each, votes, overlap) for each in zip(*found, strict=True)]
    if segmenter is None:
        return agreed
    boxes = np.concatenate([each.boxes for each in agreed])
    drawn = segmenter.mask_boxes(image, boxes) if len(boxes) else boxes
    ends = np.cumsum([len(each.boxes) for each in agreed])[:-1]
    return [
        confirm(each, closer, overlap)
        for each, closer in zip(agreed, np.split(drawn, ends), strict=True)
    ]


def confirm(agreed: Agreed, drawn: np.ndarray, overlap: float) -> Agreed:
    """The boxes `drawn` (n, 4) around masks, where each matches the one agreed on."""
    matches = np.diagonal(iou(agreed.boxes, drawn)) >= overlap
    return Agreed(drawn[matches], agreed.left_out + int((~matches).sum()))


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
