"""Frozen dataclasses to bytes and back: msgpack, arrays as dtype, shape and raw bytes.

Only the classes named in the codec are ever built; nothing is unpickled.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import msgpack
import numpy as np

from takt.types import TaktError

_TYPE, _ARRAY = "__type__", "__ndarray__"
ARRAY_KINDS = "biuf"  # bool, signed, unsigned, float: never object or string


class WireError(TaktError):
    """Bytes that are not one of our messages."""


class Codec:
    """Encodes and decodes instances of the given dataclasses."""

    def __init__(self, *classes: type) -> None:
        """Only these classes may appear in decoded bytes."""
        self._classes = {cls.__name__: cls for cls in classes}

    def encode(self, message: object) -> bytes:
        """One message as bytes."""
        return bytes(msgpack.packb(self._plain(message)) or b"")

    def decode(self, data: bytes) -> Any:  # noqa: ANN401 - the caller matches on the class
        """The message in `data`.

        Raises:
            WireError: the bytes are no message of ours.
        """
        try:
            return msgpack.unpackb(data, object_hook=self._build, strict_map_key=False)
        except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
            raise WireError(
                f"expected one of {sorted(self._classes)}, got {len(data)} other bytes ({error}); "
                "do both sides run the same version of takt?"
            ) from error

    def _plain(self, value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, np.ndarray):
            return {_ARRAY: value.dtype.str, "shape": value.shape, "data": value.tobytes()}
        if isinstance(value, np.generic):
            return value.item()
        if is_dataclass(value):
            name = type(value).__name__
            return {_TYPE: name} | {
                f.name: self._plain(getattr(value, f.name)) for f in fields(value)
            }
        if isinstance(value, Mapping):
            return {key: self._plain(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._plain(item) for item in value]
        return value

    def _build(self, value: dict[Any, Any]) -> Any:  # noqa: ANN401
        if _ARRAY in value:
            dtype = np.dtype(value[_ARRAY])
            if dtype.kind not in ARRAY_KINDS:
                raise ValueError(f"array dtype {dtype}")
            # a copy, because torch wants writable memory
            return np.frombuffer(value["data"], dtype).reshape(value["shape"]).copy()
        if _TYPE in value:
            return self._classes[value.pop(_TYPE)](**value)
        return value
