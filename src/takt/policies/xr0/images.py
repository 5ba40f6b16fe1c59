"""uint8 images -> Qwen patch rows, without torchvision; PIL only where a resize is due."""

import math

import numpy as np
import torch

from takt.policies.xr0.config import VisionConfig, XR0Config
from takt.types import TaktError

_HALF_RANGE = 127.5  # mean = std = 0.5 on [0, 1] pixels
_LONGEST_ASPECT = 200  # the released limit; beyond it one side would be rounded to nothing


class ImageError(TaktError):
    """An image that the policy cannot read; says what it is and how to convert it."""


def fit_images(images: np.ndarray | torch.Tensor, config: XR0Config) -> torch.Tensor:
    """(B, H, W, 3) uint8 images of one view, resized if the config asks for it.

    Raises:
        ImageError: They are anything else; nothing is guessed.
    """
    if not isinstance(images, np.ndarray | torch.Tensor):
        raise ImageError(
            f"images: expected an array (batch, height, width, 3) uint8, got "
            f"{type(images).__name__}; np.asarray(image.convert('RGB')) makes one of a PIL image"
        )
    _require_rgb(tuple(images.shape), str(images.dtype).removeprefix("torch."))
    if isinstance(images, np.ndarray):
        images = torch.from_numpy(np.ascontiguousarray(images))  # a flipped view has no tensor
    size = fit_size(images.shape[1], images.shape[2], config)
    return images.contiguous() if size == tuple(images.shape[1:3]) else resize(images, size)


def _require_rgb(shape: tuple[int, ...], dtype: str) -> None:
    match shape:
        case (_, _, _, 3) if dtype == "uint8" and min(shape) > 0:
            return
        case _ if 0 in shape:
            advice = "there are no pixels: check the camera"
        case (_, _, _, 4):
            advice = "drop the alpha channel, or lay the image on a background"
        case (_, 3, _, _):
            advice = "move the channel axis last"
        case (_, _, _, 1) | (_, _, _):
            advice = "convert grey or palette images to RGB"
        case _ if dtype.startswith(("float", "bfloat")):
            advice = "scale to 0..255, round and cast to uint8"
        case _:
            advice = "convert to RGB, 8 bits a channel"
    raise ImageError(
        f"images: expected (batch, height, width, 3) uint8, got {shape} {dtype}; {advice}"
    )


def fit_size(height: int, width: int, config: XR0Config) -> tuple[int, int]:
    """Nearest multiples of a token's pixels, with an area inside the config's budget.

    The very numbers of the released processor (transformers' `smart_resize` for Qwen2-VL).

    Raises:
        ImageError: One side is more than 200 times the other.
    """
    unit = config.vision.token_pixels
    smallest, largest = config.image_pixels
    if max(height, width) > _LONGEST_ASPECT * min(height, width):
        raise ImageError(
            f"image: expected sides at most 1:{_LONGEST_ASPECT}, got {height} x {width} pixels; "
            "crop it"
        )
    if config.image_rule == "misfits" and height % unit == width % unit == 0:
        return height, width
    # Zero at first for a side below half a token: then the area is too small.
    fitted = round(height / unit) * unit, round(width / unit) * unit
    area = fitted[0] * fitted[1]
    if area > largest:
        shrink = math.sqrt(height * width / largest)
        sides = (math.floor(side / shrink / unit) for side in (height, width))
        tall, wide = (max(1, side) * unit for side in sides)
        return tall, wide
    if area < smallest:
        grow = math.sqrt(smallest / (height * width))
        tall, wide = (math.ceil(side * grow / unit) * unit for side in (height, width))
        return tall, wide
    return fitted


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
