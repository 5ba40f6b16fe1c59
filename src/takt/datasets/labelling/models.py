"""What looks at images for labelling."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from takt.transforms.detections import Detector, Segmenter


class Describer(Protocol):
    """A vision-language model; it answers the same question always alike."""

    def answer(self, images: Sequence[np.ndarray], question: str) -> str | None:
        """Text, None if it came to no end; images are (height, width, 3) uint8 RGB."""
        ...


@dataclass(frozen=True, slots=True)
class Models:
    """Without detectors there is no grounding, without a describer there are no captions."""

    detectors: tuple[Detector, ...] = ()
    segmenter: Segmenter | None = None
    describer: Describer | None = None
