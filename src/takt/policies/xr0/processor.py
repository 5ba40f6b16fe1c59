"""Images and instructions -> model inputs, by the released prompt template.

Axes: B batch, V view (camera), H W pixels, S prompt token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from tokenizers import Tokenizer

from takt.policies.common.qwen3_vl import Grid
from takt.policies.xr0.cache import PromptInputs
from takt.policies.xr0.config import VisionConfig, XR0Config
from takt.policies.xr0.images import fit_images, pack_patches
from takt.types import TaktError

_IMAGE = "<|image_pad|>"


@dataclass(frozen=True, slots=True)
class PromptLayout:
    """One prompt's tokens (S,) and rotary positions (3, S); shared by every image of its shape."""

    input_ids: torch.Tensor
    position_ids: torch.Tensor


def prompt_text(views: Sequence[str], instruction: str, image_tokens: Sequence[int]) -> str:
    """The released prompt; `image_tokens[i]` placeholders stand for the image of `views[i]`."""
    blocks = "".join(
        f"# {view}\n<|vision_start|>{_IMAGE * count}<|vision_end|>\n"
        for view, count in zip(views, image_tokens, strict=True)
    )
    return (
        "<|im_start|>user\nThe following observations are captured from multiple views.\n"
        f"{blocks}Generate robot actions for the task:\n{instruction} /no_cot<|im_end|>\n"
        "<|im_start|>assistant\n<cot></cot><|im_end|>\n"
    )


def rotary_positions(
    input_ids: Sequence[int], grids: Sequence[Grid], config: XR0Config
) -> np.ndarray:
    """(3, S) time, height and width positions: text counts up, an image spans its merged grid.

    Text after an image continues at its start plus its longer side.
    """
    merge = config.vision.spatial_merge_size
    columns: list[np.ndarray] = []
    start, token, pending = 0, 0, list(grids)
    while token < len(input_ids):
        if input_ids[token] != config.token_ids.image:
            columns.append(np.full((3, 1), start))
            start, token = start + 1, token + 1
            continue
        rows, cols = (side // merge for side in pending.pop(0))
        height, width = np.divmod(np.arange(rows * cols), cols)
        columns.append(start + np.stack([np.zeros_like(height), height, width]))
        start, token = start + max(rows, cols), token + rows * cols
    return np.concatenate(columns, axis=1)


def lay_out(
    text: str, grids: Sequence[Grid], tokenizer: Tokenizer, config: XR0Config
) -> PromptLayout:
    """Tokens of a whole prompt, whose placeholders are those of images of `grids`, in order.

    Raises:
        TaktError: Somebody's words in `text` hold placeholders of their own, or are too many.
    """
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    expected = sum(image_tokens(grid, config.vision) for grid in grids)
    if ids.count(config.token_ids.image) != expected:
        raise TaktError(
            f"instruction must not contain image tokens: expected {expected} in the prompt for its "
            f"images, got {ids.count(config.token_ids.image)}; leave {_IMAGE} out"
        )
    longest = config.text.max_position_embeddings
    if len(ids) > longest:
        raise TaktError(
            f"expected a prompt of at most {longest} tokens, got {len(ids)}, {expected} of them "
            "for images; shorten the instruction or give smaller images"
        )
    return PromptLayout(torch.tensor(ids), torch.from_numpy(rotary_positions(ids, grids, config)))


def image_tokens(grid: Grid, vision: VisionConfig) -> int:
    """Language-model tokens of an image of `grid` patches."""
    return grid[0] * grid[1] // vision.spatial_merge_size**2


def patch_grid(images: torch.Tensor, vision: VisionConfig) -> Grid:
    """Patches along the sides of (B, H, W, 3) images that fit the model."""
    return images.shape[1] // vision.patch_size, images.shape[2] // vision.patch_size


def require_tokenizer(tokenizer: Tokenizer, config: XR0Config) -> None:
    """Raise a `TaktError` unless the image tokens have the ids that the model expects."""
    ids = config.token_ids
    for token, expected in (
        (_IMAGE, ids.image),
        ("<|vision_start|>", ids.vision_start),
        ("<|vision_end|>", ids.vision_end),
    ):
        found = tokenizer.token_to_id(token)
        if found != expected:
            raise TaktError(
                f"tokenizer: {token} is {found}, the model expects {expected}; "
                "use the tokenizer.json that came with the weights"
            )


class XR0Processor:
    """Builds `PromptInputs` for one set of views; layouts are cached by instruction and size."""

    def __init__(self, config: XR0Config, tokenizer: Tokenizer, views: Sequence[str]) -> None:
        """`views` are the prompt titles of the cameras, in prompt order.

        Raises:
            TaktError: The tokenizer's ids differ from the model's.
        """
        if not views:
            raise TaktError(
                "the prompt has no image slot: expected at least one camera view, got none; "
                "give the body a camera"
            )
        require_tokenizer(tokenizer, config)
        self.config = config
        self.tokenizer = tokenizer
        self.views = tuple(views)
        self._layout = lru_cache(maxsize=256)(self._build_layout)

    def __call__(
        self, images: Sequence[np.ndarray | torch.Tensor], instructions: Sequence[str]
    ) -> PromptInputs:
        """A batch.

        Args:
            images: Per view (B, H, W, 3) uint8; views may differ in size.
            instructions: B task texts; a shorter prompt is padded on the right.

        Raises:
            TaktError: Not one image per view and instruction, or an image that cannot be read.
        """
        if len(images) != len(self.views):
            raise TaktError(
                f"expected images of {len(self.views)} views {self.views}, got {len(images)}"
            )
        vision = self.config.vision
        fitted = [fit_images(view, self.config) for view in images]
        counts = [len(view) for view in fitted]
        if set(counts) != {len(instructions)}:
            raise TaktError(
                f"expected one image per view for each of {len(instructions)} instructions, "
                f"got {counts} images of the views"
            )
        grids = tuple(patch_grid(view, vision) for view in fitted)
        patches = torch.cat([pack_patches(view, vision) for view in fitted], dim=1)
        layouts = [self._layout(text, grids) for text in instructions]
        input_ids, position_ids, mask = pad(layouts)
        grid_thw = torch.tensor([(1, *grid) for grid in grids]).repeat(len(instructions), 1)
        return PromptInputs(
            input_ids=input_ids,
            attention_mask=mask,
            pixel_values=patches.flatten(0, 1),
            image_grid_thw=grid_thw,
            position_ids=position_ids,
        )

    def _build_layout(self, instruction: str, grids: tuple[Grid, ...]) -> PromptLayout:
        counts = [image_tokens(grid, self.config.vision) for grid in grids]
        text = prompt_text(self.views, instruction, counts)
        return lay_out(text, grids, self.tokenizer, self.config)


def pad(
    layouts: Sequence[PromptLayout],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Stack (B, S), (3, B, S) and, if lengths differ, a (B, S) mask; pads repeat position 0."""
    lengths = [len(layout.input_ids) for layout in layouts]
    longest = max(lengths)
    if min(lengths) == longest:
        ids = torch.stack([layout.input_ids for layout in layouts])
        return ids, torch.stack([layout.position_ids for layout in layouts], dim=1), None
    ids = torch.zeros(len(layouts), longest, dtype=torch.long)
    positions = torch.zeros(3, len(layouts), longest, dtype=torch.long)
    for row, layout in enumerate(layouts):
        ids[row, : lengths[row]] = layout.input_ids
        positions[:, row, : lengths[row]] = layout.position_ids
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    return ids, positions, mask
