"""uint8 images -> Qwen patch rows, without torchvision; PIL only where a resize is due."""

import math
from collections.abc import Callable

import numpy as np
import torch

from takt.policies.xr0.config import VisionConfig, XR0Config

_HALF_RANGE = 127.5  # mean = std = 0.5 on [0, 1] pixels


def fit_size(height: int, width: int, config: XR0Config) -> tuple[int, int]:
    """Nearest multiples of a token's pixels, with an area inside the config's budget."""
    unit = config.vision.token_pixels
    smallest, largest = config.image_pixels
    fitted = _snap(height, width, unit, round)
    area = fitted[0] * fitted[1]
    if area > largest:
        scale = math.sqrt(largest / (height * width))
        return _snap(height * scale, width * scale, unit, math.floor)
    if area < smallest:
        scale = math.sqrt(smallest / (height * width))
        return _snap(height * scale, width * scale, unit, math.ceil)
    return fitted


def _snap(
    height: float, width: float, unit: int, rounding: Callable[[float], int]
) -> tuple[int, int]:
    return max(1, rounding(height / unit)) * unit, max(1, rounding(width / unit)) * unit


def resize(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(B, H, W, 3) uint8 -> (B, *size, 3) by PIL's bicubic filter, as released."""
    from PIL import Image

    height, width = size
    resized = [
        np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
        for image in images.numpy()
    ]
    return torch.from_numpy(np.stack(resized))


def pack_patches(images: torch.Tensor, vision: VisionConfig) -> torch.Tensor:
    """(B, H, W, 3) uint8 -> (B, patch, 3 * time * side * side) float32 in [-1, 1].

    Patches come in merge-block order, each as (channel, time, row, column); the still image is
    repeated along time.
    """
    batch, height, width, _ = images.shape
    side, merge = vision.patch_size, vision.spatial_merge_size
    blocks = images.view(
        batch, height // (side * merge), merge, side, width // (side * merge), merge, side, 3
    )
    patches = blocks.permute(0, 1, 4, 2, 5, 7, 3, 6).reshape(batch, -1, 3, 1, side * side)
    pixels = patches.to(torch.float32).div(_HALF_RANGE).sub(1.0)
    return pixels.expand(-1, -1, -1, vision.temporal_patch_size, -1).flatten(2)
