"""Rotary positions of Qwen3-VL: multi-axis for text, axial for image patches.

Angles are computed here from the config and never from module buffers, so that a later
`.to(bfloat16)` of the weights cannot round them by accident: `precision` says it instead.
"""

from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

Precision = Literal["float32", "bfloat16"]
Rotary = tuple[Tensor, Tensor]
"""(cos, sin), broadcastable to the heads they rotate."""

_VISION_THETA = 10_000.0


def inverse_frequencies(dim: int, theta: float, precision: Precision) -> Tensor:
    """(dim / 2,) float32; "bfloat16" rounds them as a cast of the whole released model does."""
    exponents = torch.arange(0, dim, 2, dtype=torch.float32, device="cpu") / dim
    frequencies = 1.0 / theta**exponents
    return frequencies.bfloat16().float() if precision == "bfloat16" else frequencies


def text_rotary(
    positions: Tensor,
    head_dim: int,
    theta: float,
    sections: tuple[int, int, int],
    precision: Precision,
    dtype: torch.dtype,
) -> Rotary:
    """Interleaved multi-axis rotary.

    Args:
        positions: (3, batch, token) integer time, height and width positions.
        head_dim: Width of one head.
        theta: Base of the frequencies.
        sections: Frequencies per axis; height and width take every third one from the start.
        precision: Of the inverse frequencies.
        dtype: Of the result.

    Returns:
        cos and sin, (batch, 1, token, head_dim).
    """
    axis = torch.zeros(head_dim // 2, dtype=torch.long, device="cpu")
    for number in (1, 2):
        axis[number : sections[number] * 3 : 3] = number
    frequencies = inverse_frequencies(head_dim, theta, precision).to(positions.device)
    angles = positions[axis.to(positions.device)].permute(1, 2, 0).float() * frequencies
    angles = torch.cat((angles, angles), dim=-1).unsqueeze(1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


@lru_cache(maxsize=64)
@torch.inference_mode(mode=False)  # else training after an inference could not use the tensors kept
def vision_rotary(
    height: int, width: int, merge: int, head_dim: int, precision: Precision
) -> Rotary:
    """Axial rotary of one image.

    `height` and `width` count patches, which come in merge-block order. Under "bfloat16" the
    angles and their sine run in bfloat16 too, as in the released code.

    Returns:
        cos and sin, (height * width, head_dim) float32 on the CPU.
    """
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    frequencies = inverse_frequencies(head_dim // 2, _VISION_THETA, precision).to(dtype)
    axes = (torch.arange(size, device="cpu") for size in (height, width))
    rows, columns = torch.meshgrid(*axes, indexing="ij")
    coordinates = torch.stack((merge_order(rows, merge), merge_order(columns, merge)), dim=-1)
    angles = (coordinates[..., None].to(dtype) * frequencies).flatten(1)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos().float(), angles.sin().float()


def merge_order(grid: Tensor, merge: int) -> Tensor:
    """Flatten a (height, width, ...) patch grid so that each merge x merge block is contiguous."""
    height, width = grid.shape[:2]
    blocks = grid.reshape(height // merge, merge, width // merge, merge, *grid.shape[2:])
    return blocks.transpose(1, 2).reshape(height * width, *grid.shape[2:])


def rotate(x: Tensor, rotary: Rotary) -> Tensor:
    """Rotate (..., token, head_dim) by broadcastable cos and sin."""
    cos, sin = rotary
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin
