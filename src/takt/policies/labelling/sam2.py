"""SAM 2 as a second look at a detector's boxes: the box of the mask inside (Grounded SAM)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import Sam2Model

from takt.policies.labelling.folder import load_model
from takt.transforms.detections import Detections, Detector

CLASSES = {"sam2": Sam2Model, "sam2_video": Sam2Model}
# Of ImageNet; with a resize to a square, the whole of SAM 2's preparation (transformers has it for
# torchvision only).
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class GroundedSam:
    """A detector's boxes, each shrunk to the mask that SAM 2 finds in it."""

    def __init__(self, detector: Detector, model: Sam2Model) -> None:
        self._detector, self._model = detector, model
        self._side: int = getattr(model.config.prompt_encoder_config, "image_size")  # noqa: B009

    @classmethod
    def load(cls, detector: Detector, folder: Path, device: str) -> "GroundedSam":
        """Open config.json and model.safetensors of SAM 2 or 2.1 in `folder`.

        Raises:
            TaktError: they are missing or of another model.
        """
        return cls(detector, load_model(folder, CLASSES, device))

    def detect(self, image: np.ndarray, phrases: Sequence[str]) -> list[Detections]:
        """As `takt.transforms.detections.Detector` says; a box with an empty mask is left out."""
        found = self._detector.detect(image, phrases)
        boxes = np.concatenate([each.boxes for each in found])
        if not len(boxes):
            return found
        masks = iter(self._masks(image, boxes))
        return [_shrunk(each, [next(masks) for _ in range(len(each))]) for each in found]

    @torch.inference_mode()
    def _masks(self, image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """(n, height, width) boolean for boxes (n, 4) in pixels."""
        height, width = image.shape[:2]
        side = self._side
        scale = np.array([side / width, side / height] * 2)
        prompts = torch.from_numpy(boxes * scale).to(self._model.device, self._model.dtype)
        output = self._model(
            pixel_values=self._prepared(image, side),
            input_boxes=prompts[None],
            multimask_output=False,
        )
        masks = functional.interpolate(
            output.pred_masks[0].float(), (height, width), mode="bilinear", align_corners=False
        )
        return (masks[:, 0] > 0).cpu().numpy()

    def _prepared(self, image: np.ndarray, side: int) -> Tensor:
        pixels = torch.from_numpy(np.array(image)).to(self._model.device)
        pixels = pixels.permute(2, 0, 1)[None].float() / 255
        square = functional.interpolate(
            pixels, (side, side), mode="bilinear", antialias=True, align_corners=False
        )
        mean, std = (square.new_tensor(x).view(1, 3, 1, 1) for x in (_MEAN, _STD))
        return ((square - mean) / std).to(self._model.dtype)


class Remembered:
    """A detector that is asked twice about an image, and looks once."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._last: tuple[np.ndarray, tuple[str, ...], list[Detections]] | None = None

    def detect(self, image: np.ndarray, phrases: Sequence[str]) -> list[Detections]:
        """As the detector says."""
        asked = tuple(phrases)
        if self._last is None or self._last[0] is not image or self._last[1] != asked:
            self._last = image, asked, self._detector.detect(image, phrases)
        return self._last[2]


def _shrunk(found: Detections, masks: Sequence[np.ndarray]) -> Detections:
    kept = [k for k, mask in enumerate(masks) if mask.any()]
    boxes = [mask_box(masks[k]) for k in kept]
    return Detections(np.array(boxes, float).reshape(-1, 4), found.scores[kept])


def mask_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Edges of the smallest box around the pixels of `mask` (height, width)."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
