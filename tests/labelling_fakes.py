"""Detectors and describers that need no weights, and can be sent to other processes."""

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from takt.datasets.labelling.config import LabelConfig
from takt.datasets.labelling.models import Models
from takt.transforms.detections import Detections

NOTHING = Detections(np.zeros((0, 4)), np.zeros(0))


@dataclass(frozen=True)
class FixedDetector:
    """Finds the same boxes in every image."""

    boxes: Mapping[str, tuple[float, float, float, float]]

    def reads(self, phrase: str) -> bool:
        return "." not in phrase

    def detect(self, image: np.ndarray, phrases: Sequence[str]) -> list[Detections]:
        return [
            Detections(np.array([self.boxes[x]], float), np.array([0.9]))
            if x in self.boxes
            else NOTHING
            for x in phrases
        ]


@dataclass
class Scripted:
    """Answers by the beginning of the question; dies by SIGKILL at the question `fatal`."""

    fatal: int = -1
    asked: int = 0
    images: list[int] = field(default_factory=list)

    def answer(self, images: Sequence[np.ndarray], question: str) -> str | None:
        self.asked += 1
        if self.asked == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        self.images.append(len(images))
        for begin, answer in {
            "Describe": f"Mean brightness {images[0].mean():.0f}.",
            "Ask": "How bright is it?" if "colours" not in question else "No question",
            "How bright": "Very." if images[0].mean() > 60 else "<image>",
            "Name": "1. Red cup, 2. blue cup., a thing with a long name, st. bernard",
            "The robot is asked": None,  # unfinished
        }.items():
            if question.startswith(begin):
                return answer
        raise AssertionError(question)


CUP, OTHER = (10.0, 10.0, 30.0, 40.0), (60.0, 60.0, 90.0, 90.0)


@dataclass(frozen=True)
class FakeModels:
    """Two of three detectors agree on the red cup, none on the blue one."""

    name: str = "fake"
    fatal: int = -1

    def facts(self) -> Mapping[str, object]:
        return {"name": self.name}

    def load(self, config: LabelConfig) -> Models:
        detectors = (
            FixedDetector({"red cup": CUP, "blue cup": CUP}),
            FixedDetector({"red cup": CUP}),
            FixedDetector({"red cup": OTHER, "blue cup": OTHER}),
        )
        return Models(detectors, describer=Scripted(self.fatal))
