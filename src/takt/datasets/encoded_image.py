"""Camera frames that are kept as image files in a record."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image

from takt.datasets.errors import EpisodeError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
"""What is opened, by PIL's names: never what hands the file to another program, as EPS does."""
MAX_PIXELS = 1 << 26


class TooManyPixelsError(ValueError):
    """An image would fill memory, however short its file is."""


def decode_image(encoded: bytes) -> np.ndarray:
    """(height, width, 3) uint8 RGB of an image file of one of `FORMATS`.

    Raises:
        TooManyPixelsError: it has more than `MAX_PIXELS`.
        ValueError: it is damaged, or of another format.
    """
    try:
        with PIL.Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            _require_size(image.width * image.height)
            return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except TooManyPixelsError:
        raise
    except PIL.UnidentifiedImageError as error:
        others = ", ".join(FORMATS[2:])
        raise ValueError(
            f"expected a JPEG or PNG, got {len(encoded)} bytes of neither, nor of {others}"
        ) from error
    except PIL.Image.DecompressionBombError as error:
        raise TooManyPixelsError(str(error)) from error
    except Exception as error:  # decoders raise what they like at damaged bytes
        raise ValueError(f"not readable as an image ({error})") from error


def _require_size(pixels: int) -> None:
    if pixels > MAX_PIXELS:
        raise TooManyPixelsError(
            f"expected an image of at most {MAX_PIXELS} pixels, got {pixels}; make it smaller"
        )


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
