"""The vision tower's learned positions, resampled to an image's own grid of patches."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from takt.policies.common.kernels import rounds_each_step
from takt.policies.common.rotary import merge_order

Grid = tuple[int, int]
"""Rows and columns of patches of one image."""


def position_embedding(table: Tensor, grid: Grid, merge: int) -> Tensor:
    """Positions of one image's patches in merge-block order, (rows * columns, hidden).

    Args:
        table: (side * side, hidden), learned on a square grid.
        grid: The image's.
        merge: Side of a merge block.
    """
    side = math.isqrt(len(table))
    square = table.view(side, side, -1)
    if grid != (side, side):
        resample = _resample_rounded if rounds_each_step(table) else _resample
        square = resample(square, grid)
    return merge_order(square, merge)


def _resample(square: Tensor, grid: Grid) -> Tensor:
    """(side, side, hidden) -> (rows, columns, hidden), bilinear, corners on corners."""
    image = square.permute(2, 0, 1).unsqueeze(0)
    image = functional.interpolate(image, size=grid, mode="bilinear", align_corners=True)
    return image[0].permute(1, 2, 0)


def _resample_rounded(square: Tensor, grid: Grid) -> Tensor:
    """As `_resample`; the weight, the product and the sum of every corner are rounded."""
    last = len(square) - 1
    rows, columns = (torch.linspace(0, last, size) for size in grid)
    top, left = rows.long(), columns.long()
    bottom, right = (top + 1).clamp(max=last), (left + 1).clamp(max=last)
    below, beside = (rows - top)[:, None], (columns - left)[None]
    corners = [
        square[row][:, column] * (down * across).to(square.dtype)[..., None]
        for row, down in ((top, 1 - below), (bottom, below))
        for column, across in ((left, 1 - beside), (right, beside))
    ]
    return corners[0] + corners[1] + corners[2] + corners[3]
