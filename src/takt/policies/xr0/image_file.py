"""An image file as RGB pixels: what has one meaning is converted, the rest is refused."""

from pathlib import Path

import numpy as np

from takt.policies.xr0.images import ImageError

# Not among them: 16-bit, 32-bit and float grey, whose range the file does not tell.
_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})


def read_image(path: Path) -> np.ndarray:
    """(H, W, 3) uint8, upright by its EXIF tag; transparent parts are laid on white.

    Raises:
        ImageError: The file is missing, no image, cut off, or of a mode without a known range.
    """
    from PIL import Image, ImageOps

    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "is not there"
        raise ImageError(f"expected an image file, cannot read {path}: it {kind}")
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageError(f"expected an image file, cannot read {path}: {error}") from error
    if image.mode not in _MODES:
        raise ImageError(
            f"{path}: expected 8 bits a channel, got the mode {image.mode!r}, whose range of "
            "values is unknown; scale it to 0..255 and save it again"
        )
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"))
