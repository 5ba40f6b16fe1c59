"""Talk with the backbone: images and a question in, text out, token by token.

The same weights as the policy; the language model's head is its token table. One prompt at a time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from takt.policies.common.device import fastest_device
from takt.policies.common.qwen3_vl import continue_text
from takt.policies.common.rotary import Rotary, text_rotary
from takt.policies.xr0.cache import PromptInputs
from takt.policies.xr0.checkpoint import load_checkpoint, runnable
from takt.policies.xr0.config import HF_RELEASE
from takt.policies.xr0.images import fit_images, pack_patches
from takt.policies.xr0.memory import named_shortage
from takt.policies.xr0.model import XR0
from takt.policies.xr0.processor import image_tokens, lay_out, patch_grid, require_tokenizer
from takt.policies.xr0.released_config import MissingContractError
from takt.types import TaktError

STOPS = ("<|im_end|>", "<|endoftext|>")
"""Tokens that end an answer of Qwen's."""

_PARTIAL = "\ufffd"  # what a decoder writes for a character whose last bytes are still to come


class ChatError(TaktError):
    """A request that the chat cannot answer."""


@dataclass(frozen=True, slots=True)
class Greedy:
    """Always the likeliest token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """A draw from softmax(logits / temperature); the seed fixes the whole answer."""

    temperature: float
    seed: int

    def __post_init__(self) -> None:
        """A finite temperature above zero, a seed that a generator takes."""
        if not 0 < self.temperature < float("inf"):
            raise ChatError(
                f"expected a temperature above 0, got {self.temperature}; 0 means Greedy()"
            )
        if not 0 <= self.seed < 2**63:
            raise ChatError(f"expected a seed of at least 0 and below 2^63, got {self.seed}")


Choice = Greedy | Sampled


def chat_text(question: str, tokens_per_image: Sequence[int]) -> str:
    """Qwen's chat template for one user turn; images come before the question."""
    images = "".join(
        f"<|vision_start|>{'<|image_pad|>' * count}<|vision_end|>" for count in tokens_per_image
    )
    return f"<|im_start|>user\n{images}{question}<|im_end|>\n<|im_start|>assistant\n"


def require_turn(images: Sequence[object], question: str) -> None:
    """Raise a `ChatError` unless there is something to look at and something to answer."""
    if not images:
        raise ChatError(
            "the prompt has no image slot: expected at least one image, got none; "
            "add one (`takt chat --image FILE`)"
        )
    if not question.strip():
        raise ChatError("expected a question, got an empty one; say what is to be answered")


class Chat:
    """Answers questions about images with the weights of a policy."""

    def __init__(self, model: XR0, tokenizer: Tokenizer, stops: Sequence[str] = STOPS) -> None:
        """Raises a `TaktError` if the tokenizer's ids differ from the model's."""
        require_tokenizer(tokenizer, model.config)
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._stops = {tokenizer.token_to_id(stop) for stop in stops}

    @classmethod
    def load(cls, directory: Path, device: str | None = None) -> "Chat":
        """Open a checkpoint on `device`, as torch names it; by default the GPU if there is one.

        A released one need not name its contract, which is the DiT's.
        """
        device = device or fastest_device()
        try:
            checkpoint = load_checkpoint(directory, dtype=None, device=device)
        except MissingContractError:
            checkpoint = load_checkpoint(directory, HF_RELEASE, dtype=None, device=device)
        return cls(runnable(checkpoint.model), checkpoint.tokenizer)

    def prompt(self, images: Sequence[np.ndarray], question: str) -> PromptInputs:
        """One user turn; each image is (H, W, 3) uint8 of any size.

        Raises:
            TaktError: There is no image, one is not RGB, or the question is empty or holds image
                tokens.
        """
        require_turn(images, question)
        config, device = self._model.config, self._model.sink.weight.device
        fitted = [fit_images(image[None], config) for image in images]
        grids = [patch_grid(image, config.vision) for image in fitted]
        text = chat_text(question, [image_tokens(grid, config.vision) for grid in grids])
        layout = lay_out(text, grids, self._tokenizer, config)
        patches = [pack_patches(image, config.vision)[0] for image in fitted]
        return PromptInputs(
            input_ids=layout.input_ids[None].to(device),
            attention_mask=None,
            pixel_values=torch.cat(patches).to(device),
            image_grid_thw=torch.tensor([(1, *grid) for grid in grids]),
            position_ids=layout.position_ids[:, None].to(device),
        )

    def answer(
        self, inputs: PromptInputs, max_tokens: int, choice: Choice | None = None
    ) -> Iterator[str]:
        """Pieces of text as they are found; greedy by default."""
        return stream_text(self.tokens(inputs, max_tokens, choice), self._tokenizer)

    @torch.no_grad()
    def tokens(
        self, inputs: PromptInputs, max_tokens: int, choice: Choice | None = None
    ) -> Iterator[int]:
        """At most `max_tokens` tokens of the answer, without the one that ends it.

        Raises:
            ChatError: Prompt and answer would not fit into the model's positions.
            NotEnoughMemoryError: The prompt does not fit into memory.
        """
        model, text = self._model, self._model.config.text
        language = model.vlm.model.language_model
        table = language.embed_tokens.weight
        length = inputs.input_ids.shape[1]
        if max_tokens < 1 or length + max_tokens > text.max_position_embeddings:
            raise ChatError(
                f"expected 1 to {text.max_position_embeddings - length} tokens of answer to a "
                f"prompt of {length}, got {max_tokens}"
            )
        with named_shortage(model, inputs):
            prompt = model.run_language(inputs, tail=1, first_layer=0)
            keys = [_with_room(key, max_tokens) for key in prompt.keys]
            values = [_with_room(value, max_tokens) for value in prompt.values]
        cos, sin = self._rotary(model.next_positions(inputs.position_ids, max_tokens))
        pick, hidden = _picker(choice or Greedy()), prompt.hidden
        for step in range(max_tokens):
            if hidden is None:
                raise AssertionError("a language pass with a tail finishes its last layer")
            token = pick(functional.linear(hidden[0, -1], table))
            if token in self._stops:
                return
            yield token
            if step + 1 < max_tokens:
                here = cos[:, :, step : step + 1], sin[:, :, step : step + 1]
                embeds = table[token].view(1, 1, -1)
                hidden = continue_text(language, embeds, here, keys, values, length + step)

    def _rotary(self, positions: Tensor) -> Rotary:
        config, text = self._model.config, self._model.config.text
        return text_rotary(
            positions,
            text.head_dim,
            text.rope_theta,
            text.mrope_section,
            config.rotary,
            self._model.dtype,
        )


def stream_text(tokens: Iterable[int], tokenizer: Tokenizer) -> Iterator[str]:
    """Text of a growing list of tokens; a piece waits until its last character is whole."""
    seen: list[int] = []
    shown, text = 0, ""
    for token in tokens:
        seen.append(token)
        text = tokenizer.decode(seen, skip_special_tokens=False)
        if len(text) > shown and not text.endswith(_PARTIAL):
            yield text[shown:]
            shown = len(text)
    if len(text) > shown:
        yield text[shown:]


def _with_room(prompt: Tensor, tokens: int) -> Tensor:
    """A copy of (1, kv head, token, head_dim) with space for more tokens behind."""
    return functional.pad(prompt, (0, 0, 0, tokens))


def _picker(choice: Choice) -> Callable[[Tensor], int]:
    """(vocabulary,) logits -> token."""
    match choice:
        case Greedy():
            return lambda logits: int(logits.argmax())
        case Sampled(temperature=temperature, seed=seed):
            # On the CPU in float64: one seed gives the same draws beside any device.
            generator = torch.Generator().manual_seed(seed)

            def draw(logits: Tensor) -> int:
                scaled = (logits - logits.max()).cpu().double() / temperature
                return int(torch.multinomial(scaled.softmax(0), 1, generator=generator))

            return draw
