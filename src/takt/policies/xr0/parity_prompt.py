"""The recorded prompt of a case: what can be run, and its rotary positions.

Axes: B batch, L prompt token.
"""

import torch
from torch import Tensor

from takt.policies.common.vision_positions import Grid
from takt.policies.xr0.config import XR0Config
from takt.policies.xr0.processor import image_tokens, rotary_positions
from takt.types import TaktError


def require_prompt(ids: Tensor, mask: Tensor, grid_thw: Tensor, config: XR0Config) -> None:
    """Raise a `TaktError` unless every recorded number is one that a prompt can have.

    Args:
        ids: (B, L) integers.
        mask: (B, L), 1 on real tokens.
        grid_thw: (image, 3) patches along time, height and width.
        config: Its vocabulary and patches.
    """
    size, merge = config.text.vocab_size, config.vision.spatial_merge_size
    if ids.min() < 0 or ids.max() >= size:
        raise TaktError(
            f"input_ids: expected ids in 0..{size - 1} (text_config.vocab_size), got "
            f"{ids.min()}..{ids.max()}; is config.json of another model?"
        )
    if not ((mask == 0) | (mask == 1)).all() or not mask.any(dim=1).all():
        raise TaktError(
            "attention_mask: expected 1 on real tokens and 0 on padding, and a real token in every "
            f"prompt; got values {mask.unique().tolist()} and {mask.sum(1).tolist()} per prompt"
        )
    still, sides = grid_thw[:, 0] == 1, grid_thw[:, 1:]
    if not still.all() or (sides < 1).any() or (sides % merge).any():
        raise TaktError(
            f"image_grid_thw: expected (1, rows, columns) with sides in multiples of {merge}, got "
            f"{grid_thw.tolist()}; only still images can be run"
        )


def prompt_positions(ids: Tensor, real: Tensor, grid_thw: Tensor, config: XR0Config) -> Tensor:
    """(3, B, L) rotary positions over the `real` tokens, images dealt out in prompt order; pads 1.

    Raises:
        TaktError: The images do not fill the image tokens.
    """
    positions = torch.ones(3, *ids.shape, dtype=torch.long)
    pending = [(rows, columns) for _, rows, columns in grid_thw.tolist()]
    for row in range(len(ids)):
        prompt = ids[row, real[row]].tolist()
        own = _deal_images(prompt, pending, config)
        positions[:, row, real[row]] = torch.from_numpy(rotary_positions(prompt, own, config))
    if pending:
        raise TaktError(
            f"image_grid_thw: expected {len(grid_thw) - len(pending)} images, which fill all image "
            f"tokens of input_ids, got {len(grid_thw)}"
        )
    return positions


def _deal_images(prompt: list[int], pending: list[Grid], config: XR0Config) -> list[Grid]:
    """Take the next images off `pending` until they fill a prompt's image tokens."""
    place = config.token_ids.image
    own, tokens, filled = [], prompt.count(place), 0
    while filled < tokens and pending:
        own.append(pending.pop(0))
        filled += image_tokens(own[-1], config.vision)
    if filled != tokens:
        raise TaktError(
            f"a prompt has {tokens} image tokens, but its images in image_grid_thw give {filled}"
        )
    start = 0
    for count in (image_tokens(grid, config.vision) for grid in own):
        start = prompt.index(place, start)
        if prompt[start : start + count] != [place] * count:
            raise TaktError(f"input_ids: expected the {count} tokens of an image in one row")
        start += count
    return own
