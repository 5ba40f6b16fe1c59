"""The protocol buffer `tf.train.Example`: lists of bytes, floats or integers by name."""

from collections.abc import Collection, Iterator
from typing import TypeAlias

import numpy as np

Values: TypeAlias = list[bytes] | np.ndarray
"""Byte strings, or a flat array of float32 or int64."""


class WireError(ValueError):
    """The bytes are no such message."""


def parse_example(payload: bytes, wanted: Collection[str]) -> dict[str, Values]:
    """The features named in `wanted` that the message has.

    Raises:
        WireError: The message is damaged.
    """
    found: dict[str, Values] = {}
    for features in _messages(memoryview(payload), 1):
        for entry in _messages(features, 1):
            name = b"".join(bytes(text) for text in _messages(entry, 1)).decode("utf-8", "replace")
            if name in wanted:
                found[name] = _values(entry, name)
    return found


def _values(entry: memoryview, name: str) -> Values:
    """A map entry's feature: one list, of the kind that its field number tells."""
    for feature in _messages(entry, 2):
        for kind, content in _fields(feature):
            if not isinstance(content, memoryview):
                continue
            match kind:
                case 1:
                    return [bytes(item) for item in _messages(content, 1)]
                case 2:
                    return _floats(content)
                case 3:
                    return _integers(content)
    raise WireError(f"feature {name!r} holds no list")


def _floats(content: memoryview) -> np.ndarray:
    """Packed, or one field each."""
    parts = [part for _, part in _fields(content) if isinstance(part, memoryview)]
    if any(len(part) % 4 for part in parts):
        raise WireError("a number is cut off")
    return np.frombuffer(b"".join(parts), "<f4")


def _integers(content: memoryview) -> np.ndarray:
    numbers: list[int] = []
    for _, part in _fields(content):
        if isinstance(part, int):
            numbers.append(part)
            continue
        position = 0
        while position < len(part):
            number, position = _varint(part, position)
            numbers.append(number)
    return np.array(numbers, np.uint64).astype(np.int64)


def _messages(content: memoryview, number: int) -> Iterator[memoryview]:
    """The fields `number` that hold bytes."""
    for found, value in _fields(content):
        if found == number and isinstance(value, memoryview):
            yield value


def _fields(content: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Each field's number with its integer or its bytes."""
    position = 0
    while position < len(content):
        key, position = _varint(content, position)
        match key & 7:
            case 0:
                value, position = _varint(content, position)
                yield key >> 3, value
                continue
            case 2:
                length, position = _varint(content, position)
            case 5:
                length = 4
            case 1:
                length = 8
            case wire:
                raise WireError(f"unknown wire type {wire}")
        if position + length > len(content):
            raise WireError("a field is longer than its message")
        yield key >> 3, content[position : position + length]
        position += length


def _varint(content: memoryview, position: int) -> tuple[int, int]:
    """The integer at `position`, low seven bits first, and the position after it."""
    value = shift = 0
    while position < len(content) and shift < 64:
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
        shift += 7
    raise WireError("an integer is cut off")
