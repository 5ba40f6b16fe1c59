"""Vision-language models that answer in whole texts: a policy's backbone, or stock Qwen3-VL."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import Qwen2VLImageProcessorPil, Qwen3VLForConditionalGeneration

from takt.policies.labelling.folder import (
    load_model,
    load_processor,
    load_tokenizer,
    model_type,
    token_id,
)
from takt.policies.xr0.chat import STOPS, Chat, chat_text, require_turn, stream_text
from takt.types import TaktError

_IMAGE = "<|image_pad|>"
# Settings of the image processor that the vision tower has, too, by name there.
_PATCHES = {
    "patch_size": "patch_size",
    "temporal_patch_size": "temporal_patch_size",
    "merge_size": "spatial_merge_size",
}
QWEN = {"qwen3_vl": Qwen3VLForConditionalGeneration}


class ChatDescriber:
    """The backbone of one of our checkpoints, always the likeliest words."""

    def __init__(self, chat: Chat, tokenizer: Tokenizer, max_tokens: int) -> None:
        self._chat, self._tokenizer, self._max_tokens = chat, tokenizer, max_tokens

    def answer(self, images: Sequence[np.ndarray], question: str) -> str | None:
        """Text of at most `max_tokens` tokens; None if it goes on behind them."""
        prompt = self._chat.prompt(images, question)
        tokens = list(self._chat.tokens(prompt, self._max_tokens + 1))
        if len(tokens) > self._max_tokens:
            return None
        return "".join(stream_text(tokens, self._tokenizer))


class QwenDescriber:
    """A Qwen3-VL checkpoint as transformers runs it, always the likeliest words."""

    def __init__(
        self,
        model: Qwen3VLForConditionalGeneration,
        tokenizer: Tokenizer,
        processor: Qwen2VLImageProcessorPil,
        max_tokens: int,
    ) -> None:
        self._model, self._tokenizer, self._processor = model, tokenizer, processor
        self._max_tokens = max_tokens
        # A PreTrainedConfig's part, which its type also lets be a dict.
        self._merged: int = getattr(model.config.vision_config, "spatial_merge_size") ** 2  # noqa: B009
        self._stops = [token_id(tokenizer, stop) for stop in STOPS]

    @classmethod
    def load(cls, folder: Path, max_tokens: int, device: str) -> "QwenDescriber":
        """Open config.json, safetensors, tokenizer.json and the image processor's settings.

        Raises:
            TaktError: one is missing, of another kind of model, or does not fit the others.
        """
        processor = load_processor(folder, Qwen2VLImageProcessorPil)
        model = load_model(folder, QWEN, device)
        for name, ours in _PATCHES.items():
            theirs = getattr(model.config.vision_config, ours)
            if getattr(processor, name) != theirs:
                raise TaktError(
                    f"{folder}: expected an image processor of {name} {theirs}, as config.json's "
                    f"{ours}, got {getattr(processor, name)}; take both from the same checkpoint"
                )
        return cls(model, load_tokenizer(folder, (*STOPS, _IMAGE)), processor, max_tokens)

    def answer(self, images: Sequence[np.ndarray], question: str) -> str | None:
        """Text of at most `max_tokens` tokens, its end among them; None if it goes on behind."""
        tokens = self._generate(images, question)
        return self._tokenizer.decode(tokens[:-1]) if tokens[-1] in self._stops else None

    @torch.inference_mode()
    def _generate(self, images: Sequence[np.ndarray], question: str) -> list[int]:
        require_turn(images, question)
        model = self._model
        pixels = self._processor(images=list(images), return_tensors="pt")
        grids = pixels["image_grid_thw"]
        counts = (grids.prod(-1) // self._merged).tolist()
        text = chat_text(question, counts)
        ids = torch.tensor([self._tokenizer.encode(text, add_special_tokens=False).ids])
        seen = (ids == token_id(self._tokenizer, _IMAGE)).int()
        answer = model.generate(  # pyright: ignore[reportAttributeAccessIssue]
            input_ids=ids.to(model.device),
            attention_mask=torch.ones_like(ids).to(model.device),
            mm_token_type_ids=seen.to(model.device),
            pixel_values=pixels["pixel_values"].to(model.device, model.dtype),
            image_grid_thw=grids.to(model.device),
            max_new_tokens=self._max_tokens,
            do_sample=False,
            eos_token_id=self._stops,
            pad_token_id=self._stops[0],
        )
        return answer[0, ids.shape[1] :].tolist()


def load_describer(folder: Path, max_tokens: int, device: str) -> ChatDescriber | QwenDescriber:
    """Stock Qwen3-VL if config.json says so, else one of our checkpoints."""
    if model_type(folder) in QWEN:
        return QwenDescriber.load(folder, max_tokens, device)
    return ChatDescriber(Chat.load(folder, device), load_tokenizer(folder, STOPS), max_tokens)
