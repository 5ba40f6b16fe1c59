"""Conversations as the language model reads them, with what it is to say marked.

Qwen's chat template; images come before the first question, as in chat.py.
Axes: B conversation, S token.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from tokenizers import Tokenizer
from torch import Tensor

from takt.policies.xr0.cache import PromptInputs
from takt.policies.xr0.chat import chat_text
from takt.policies.xr0.config import XR0Config
from takt.policies.xr0.images import fit_images, pack_patches
from takt.policies.xr0.processor import (
    PromptLayout,
    image_tokens,
    lay_out,
    pad,
    patch_grid,
)
from takt.types import Conversation, TaktError

END = "<|im_end|>"


@dataclass(frozen=True, slots=True)
class Dialogues:
    """A batch of whole conversations; `spoken` (B, S) is true on the tokens of answers."""

    inputs: PromptInputs
    spoken: Tensor

    def to(self, device: torch.device) -> "Dialogues":
        """The same on `device`."""
        return replace(self, inputs=self.inputs.to(device), spoken=self.spoken.to(device))


def dialogues(
    conversations: Sequence[Conversation], config: XR0Config, tokenizer: Tokenizer
) -> Dialogues:
    """Tokenise and stack; shorter ones are padded on the right.

    Raises:
        TaktError: A conversation without an image, a turn or an answer, or with tokens of the
            template in its words.
    """
    reserved = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    layouts: list[PromptLayout] = []
    spoken: list[Tensor] = []
    patches: list[Tensor] = []
    grids: list[tuple[int, int]] = []
    for conversation in conversations:
        _require_whole(conversation, reserved)
        fitted = [fit_images(image[None], config) for image in conversation.images]
        own = [patch_grid(image, config.vision) for image in fitted]
        counts = [image_tokens(grid, config.vision) for grid in own]
        pieces = _pieces(conversation, counts)
        layouts.append(lay_out("".join(pieces), own, tokenizer, config))
        spoken.append(_spoken(pieces, tokenizer, len(layouts[-1].input_ids)))
        patches += [pack_patches(image, config.vision)[0] for image in fitted]
        grids += own
    ids, positions, mask = pad(layouts)
    marks = torch.zeros(ids.shape, dtype=torch.bool)
    for row, mark in enumerate(spoken):
        marks[row, : len(mark)] = mark
    inputs = PromptInputs(
        input_ids=ids,
        attention_mask=mask,
        pixel_values=torch.cat(patches),
        image_grid_thw=torch.tensor([(1, *grid) for grid in grids]),
        position_ids=positions,
    )
    return Dialogues(inputs, marks)


def _require_whole(conversation: Conversation, reserved: Sequence[str]) -> None:
    if not conversation.images or not conversation.turns:
        raise TaktError(
            f"expected a conversation with an image and a turn, got {len(conversation.images)} "
            f"images and {len(conversation.turns)} turns; leave it out"
        )
    for turn in conversation.turns:
        if not turn.question.strip() or not turn.answer.strip():
            raise TaktError(f"expected a question and an answer, got {turn}; leave the turn out")
        for token in reserved:
            if token in turn.question or token in turn.answer:
                raise TaktError(
                    f"expected words without the template's own {token!r}, got {turn}; take it out"
                )


def _pieces(conversation: Conversation, counts: Sequence[int]) -> list[str]:
    """What is given and what is said by turns: every second piece is an answer."""
    pieces: list[str] = []
    for number, turn in enumerate(conversation.turns):
        given = chat_text(turn.question, counts if number == 0 else ())
        pieces += [given if number == 0 else f"\n{given}", turn.answer.strip() + END]
    return pieces


def _spoken(pieces: Sequence[str], tokenizer: Tokenizer, length: int) -> Tensor:
    """(S,) boolean. Pieces begin or end with tokens of the template, which no tokenizer merges."""
    mark: list[bool] = []
    for number, piece in enumerate(pieces):
        tokens = len(tokenizer.encode(piece, add_special_tokens=False).ids)
        mark += [number % 2 == 1] * tokens
    if len(mark) != length:
        raise AssertionError("pieces and whole were cut differently")
    return torch.tensor(mark)
