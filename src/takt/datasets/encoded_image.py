"""Camera frames that are kept as image files in a record."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image

from takt.datasets.errors import EpisodeError


def decode_image(encoded: bytes) -> np.ndarray:
    """(height, width, 3) uint8 RGB of a JPEG or PNG; ValueError where it is damaged."""
    try:
        with PIL.Image.open(io.BytesIO(encoded)) as image:
            return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except PIL.UnidentifiedImageError as error:
        raise ValueError(f"expected a JPEG or PNG, got {len(encoded)} bytes of neither") from error
    except (OSError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise ValueError(f"not readable as an image ({error})") from error


def decode_frames(
    encoded: Sequence[bytes], size: tuple[int, int], path: Path, episode: int, camera: str
) -> np.ndarray:
    """One episode's frames of one camera, (tick, height, width, 3) uint8.

    Raises:
        EpisodeError: a frame is damaged, or not (height, width) = `size`.
    """
    frames = np.empty((len(encoded), *size, 3), np.uint8)
    for tick, content in enumerate(encoded):
        try:
            frame = decode_image(content)
        except ValueError as error:
            raise EpisodeError(path, episode, f"camera {camera!r}: {error}", tick) from error
        if frame.shape[:2] != size:
            raise EpisodeError(
                path,
                episode,
                f"camera {camera!r}: expected {size[0]} x {size[1]} (height x width), "
                f"got {frame.shape[0]} x {frame.shape[1]}",
                tick,
            )
        frames[tick] = frame
    return frames
