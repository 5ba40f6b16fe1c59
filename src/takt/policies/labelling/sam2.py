"""SAM 2 as a second look at boxes that detectors agree on (as in Grounded SAM)."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import Sam2Model

from takt.policies.labelling.folder import load_model

CLASSES = {"sam2": Sam2Model, "sam2_video": Sam2Model}
# Of ImageNet; with a resize to a square, the whole of SAM 2's preparation (transformers has it for
# torchvision only).
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Sam2:
    """Masks of the things that boxes are around."""

    def __init__(self, model: Sam2Model) -> None:
        self._model = model
        self._side: int = getattr(model.config.prompt_encoder_config, "image_size")  # noqa: B009

    @classmethod
    def load(cls, folder: Path, device: str) -> "Sam2":
        """Open config.json and model.safetensors of SAM 2 or 2.1 in `folder`.

        Raises:
            TaktError: they are missing or of another model.
        """
        return cls(load_model(folder, CLASSES, device))

    def mask_boxes(self, image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """As `takt.transforms.detections.Segmenter` says."""
        return np.array([mask_box(mask) for mask in self._masks(image, boxes)], float)

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


def mask_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Edges of the smallest box around the pixels of `mask` (height, width); zeros without any."""
    if not mask.any():
        return 0, 0, 0, 0
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
