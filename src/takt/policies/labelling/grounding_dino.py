"""Grounding DINO, and MM-Grounding-DINO, whose class LLMDet has, too, through transformers.

Axes: L token, Q query.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import (
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessorPil,
    MMGroundingDinoForObjectDetection,
)

from takt.policies.labelling.folder import load_model, load_processor, load_tokenizer, token_id
from takt.transforms.detections import Detections, distinct
from takt.types import TaktError

CLASSES = {
    "grounding-dino": GroundingDinoForObjectDetection,
    "mm-grounding-dino": MMGroundingDinoForObjectDetection,
}
_BEGIN, _END, _STOP = "[CLS]", "[SEP]", "."
_OVERLAP = 0.7  # of two boxes of a phrase that are one thing; queries are not suppressed inside


class GroundingDino:
    """Boxes of phrases; a box's score for a phrase is that of the phrase's best token."""

    def __init__(
        self,
        model: GroundingDinoForObjectDetection | MMGroundingDinoForObjectDetection,
        tokenizer: Tokenizer,
        processor: GroundingDinoImageProcessorPil,
        score: float,
    ) -> None:
        """Boxes below `score` are left out."""
        self._model, self._tokenizer, self._processor = model, tokenizer, processor
        self._score = score

    @classmethod
    def load(cls, folder: Path, score: float, device: str) -> "GroundingDino":
        """Open config.json, model.safetensors and tokenizer.json in `folder`.

        Raises:
            TaktError: one is missing or of another kind of model.
        """
        return cls(
            load_model(folder, CLASSES, device),
            load_tokenizer(folder, (_BEGIN, _END, _STOP)),
            load_processor(folder, GroundingDinoImageProcessorPil),
            score,
        )

    def reads(self, phrase: str) -> bool:
        """Whether it has tokens, no full stop among them, and not too many."""
        own = self._tokens(phrase)
        return 0 < len(own) <= self._room - 2 and token_id(self._tokenizer, _STOP) not in own

    @torch.inference_mode()
    def detect(self, image: np.ndarray, phrases: Sequence[str]) -> list[Detections]:
        """As `takt.transforms.detections.Detector` says; many phrases need several passes.

        Raises:
            TaktError: a phrase is empty, has a full stop, or is longer than what the model reads.
        """
        device = self._model.device
        pixels = self._processor(images=image, return_tensors="pt")
        height, width = image.shape[:2]
        found: list[Detections] = []
        for ids, spans in self._prompts(phrases):
            tokens = torch.tensor([ids], device=device)
            output = self._model(
                pixel_values=pixels["pixel_values"].to(device, self._model.dtype),
                pixel_mask=pixels["pixel_mask"].to(device),
                input_ids=tokens,
                attention_mask=torch.ones_like(tokens),
                token_type_ids=torch.zeros_like(tokens),
            )
            scores = output.logits[0].float().sigmoid().cpu().numpy()  # (Q, L)
            boxes = _corners(output.pred_boxes[0].double().cpu().numpy())
            boxes = boxes.clip(0, 1) * [width, height, width, height]
            found += [
                distinct(boxes, scores[:, span].max(1).astype(float), self._score, _OVERLAP)
                for span in spans
            ]
        return found

    def _prompts(self, phrases: Sequence[str]) -> Iterator[tuple[list[int], list[slice]]]:
        """Tokens of as many phrases as fit at a time, and where each of them stands."""
        begin, end, stop = (token_id(self._tokenizer, x) for x in (_BEGIN, _END, _STOP))
        ids, spans = [begin], list[slice]()
        for phrase in phrases:
            if not self.reads(phrase):
                raise TaktError(
                    f"expected a phrase of 1 to {self._room - 2} tokens and no full stop, got "
                    f"{phrase!r}"
                )
            own = self._tokens(phrase)
            if len(ids) + len(own) + 1 > self._room:
                yield [*ids, end], spans
                ids, spans = [begin], []
            spans.append(slice(len(ids), len(ids) + len(own)))
            ids += [*own, stop]
        if spans:
            yield [*ids, end], spans

    @property
    def _room(self) -> int:
        """For tokens before the last one."""
        return self._model.config.max_text_len - 1

    def _tokens(self, phrase: str) -> list[int]:
        return self._tokenizer.encode(phrase.lower(), add_special_tokens=False).ids


def _corners(boxes: np.ndarray) -> np.ndarray:
    """(Q, 4) centre and size -> corners."""
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
