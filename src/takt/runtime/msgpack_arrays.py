"""msgpack with NumPy arrays, in the bytes that openpi's client speaks; nothing is unpickled.

An array is the map {b"__ndarray__": True, b"dtype", b"shape", b"data"}, a NumPy scalar
{b"__npgeneric__": True, b"dtype", b"data"} (openpi-client 0.1.2, `msgpack_numpy`). Ours alone is
{b"__jpeg__": True, b"data"}: a compressed image. What is read comes from strangers: only numbers
become arrays, and a small message does not grow into large memory.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, TypeVar

import msgpack
import numpy as np

from takt.runtime.wire import WireError

_ARRAY, _SCALAR, _JPEG = b"__ndarray__", b"__npgeneric__", b"__jpeg__"
_DTYPES = {
    np.dtype(order + kind).str: np.dtype(order + kind)
    for kind in ("?", *(f"{k}{n}" for k in "iu" for n in (1, 2, 4, 8)), "f2", "f4", "f8")
    for order in "<>"
}
MAX_AXES = 8
MAX_ITEMS = 1024  # of a list or a map: a header that claims more would reserve memory unseen
MAX_ALL_ITEMS = 1 << 14  # of a message: a byte may be a map, which takes a hundred in memory
MAX_TEXT_BYTES = 1 << 16
MAX_PIXELS = 1 << 24  # of all JPEG images of a message: one of 4096 x 4096
MAX_SCANS = 64  # of a JPEG: each goes over the whole image, and 16 bytes make one
SCAN = b"\xff\xda"  # begins it, and is nowhere in an image's own bytes

_Items = TypeVar("_Items", list[Any], dict[Any, Any])


@dataclass(frozen=True, slots=True)
class Jpeg:
    """A compressed image on its way out."""

    data: bytes


def encode_jpeg(image: np.ndarray, quality: int) -> Jpeg:
    """(height, width, 3) uint8 RGB at `quality` 1..95; needs Pillow."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return Jpeg(buffer.getvalue())


def pack(message: Mapping[str, Any]) -> bytes:
    """A message as bytes; arrays and NumPy numbers may be anywhere in it."""
    return bytes(msgpack.packb(message, default=_plain) or b"")


def unpack(data: bytes | memoryview) -> Any:  # noqa: ANN401 - the caller checks every field
    """The message in `data`; arrays are read-only views of it, or writable if decompressed.

    Raises:
        WireError: The bytes are no message, or hold what is not allowed.
    """
    builder = _Builder()
    try:
        return msgpack.unpackb(
            data,
            object_hook=builder.build,
            list_hook=builder.count,
            ext_hook=_refuse_extension,
            max_array_len=MAX_ITEMS,
            max_map_len=MAX_ITEMS,
            max_str_len=MAX_TEXT_BYTES,
        )
    except (ValueError, TypeError, KeyError, OverflowError, msgpack.UnpackException) as error:
        raise WireError(
            f"expected a msgpack map of numbers, text and arrays, got {len(data)} other bytes "
            f"({type(error).__name__}: {error}); send what openpi_client.msgpack_numpy packs"
        ) from error


def _plain(value: object) -> object:
    match value:
        case np.ndarray():
            return {
                _ARRAY: True,
                b"data": value.tobytes(),
                b"dtype": value.dtype.str,
                b"shape": value.shape,
            }
        case np.generic():
            return value.item()
        case Jpeg(data):
            return {_JPEG: True, b"data": data}
    raise TypeError(f"cannot send a {type(value).__name__}")


def _refuse_extension(code: int, data: bytes) -> object:
    raise ValueError(f"extension type {code}")


class _Builder:
    """Turns the maps of one message into arrays, with one allowance for all that is in it."""

    def __init__(self) -> None:
        self._pixels, self._items = MAX_PIXELS, MAX_ALL_ITEMS

    def count(self, value: _Items) -> _Items:
        self._items -= 1 + len(value)
        if self._items < 0:
            raise ValueError(f"more than {MAX_ALL_ITEMS} items in a message")
        return value

    def build(self, value: dict[Any, Any]) -> object:
        self.count(value)
        if _ARRAY in value:
            return _array(value)
        if _SCALAR in value:
            return _scalar(value)
        if _JPEG in value:
            return self._image(value[b"data"])
        return value

    def _image(self, data: object) -> np.ndarray:
        if not isinstance(data, bytes):
            raise ValueError("a JPEG image needs bytes")
        if data.count(SCAN) > MAX_SCANS:
            raise ValueError(f"a JPEG image of more than {MAX_SCANS} scans")
        try:
            from PIL import Image

            with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
                self._pixels -= prod(image.size)
                if self._pixels < 0:
                    raise ValueError(f"images of more than {MAX_PIXELS} pixels in a message")
                return np.array(image.convert("RGB"))
        except Exception as error:  # a damaged file makes Pillow, if it is here, raise anything
            raise ValueError(f"no JPEG image: {error}") from error


def _scalar(value: dict[Any, Any]) -> object:
    number = value[b"data"]
    if not isinstance(number, int | float):
        raise ValueError(f"a NumPy number made of a {type(number).__name__}")
    with np.errstate(over="ignore"):
        return _dtype(value).type(number).item()


def _array(value: dict[Any, Any]) -> np.ndarray:
    dtype, shape, data = _dtype(value), value[b"shape"], value[b"data"]
    if not isinstance(shape, list) or len(shape) > MAX_AXES:
        raise ValueError(f"array shape must be a list of at most {MAX_AXES} lengths")
    if any(type(length) is not int or length < 0 for length in shape):
        raise ValueError(f"array shape {shape}")
    if not isinstance(data, bytes) or prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"array of shape {shape} and type {dtype} does not fit its data")
    array = np.frombuffer(data, dtype).reshape(shape)
    return array if dtype.isnative else array.astype(dtype.newbyteorder("="))


def _dtype(value: dict[Any, Any]) -> np.dtype:
    name = value[b"dtype"]
    if not isinstance(name, str) or name not in _DTYPES:
        raise ValueError(f"array type {name!r}; booleans, integers and floats only")
    return _DTYPES[name]
