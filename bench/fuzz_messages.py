"""Messages for bench/fuzz_wire.py: good ones, damaged ones, good ones with odd values in them."""

import random
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
from openpi_sides import FACTS

from takt.embodiments.nut_station.spec import SPEC
from takt.runtime.msgpack_arrays import pack
from takt.runtime.server.messages import Ask, Begin, Hello, encode_request
from takt.runtime.server.replies import (
    Done,
    Failed,
    Planned,
    Reply,
    Stamps,
    encode_facts,
    encode_reply,
)
from takt.types import ActionChunk, Observation

MAX_BYTES = 1 << 16  # of a mutated message: what is longer is only slower
NAMES = ("takt", "kind", "observation", b"__ndarray__", "x")
TEXTS = ("", "begin", "hello", "ask", "\x00", "ü" * 40, "plan", "takt.policies")
DTYPES = ("<f4", "|u1", ">f8", "|O", "<U9", "|V8", "<c8", "<M8[s]", "f4,i4", "", 3, None)


def good_messages() -> list[bytes]:
    """Every kind, as small as it may be."""
    images = {camera.name: np.full((8, 8, 3), 99, np.uint8) for camera in SPEC.cameras}
    seen = Observation(
        stamp=1.0,
        images=images,
        image_stamps=dict.fromkeys(images, 0.9),
        state=np.zeros(len(SPEC.state_names), np.float32),
        instruction="nut",
        touch=np.zeros(3, np.float32),
    )
    chunk = ActionChunk(stamp=1.0, dt=SPEC.dt, actions=np.zeros((4, len(seen.state)), np.float32))
    flat = {f"observation/images/{name}": image for name, image in images.items()}
    stamps = Stamps(received=1.0, answered=2.0)
    replies: list[Reply] = [
        Planned(in_reply_to=1, chunk=chunk, compute_s=0.1, waited_s=0.0, stamps=stamps),
        Done(in_reply_to=1, stamps=stamps),
        Failed(in_reply_to=1, error="E", text="x"),
        Failed(in_reply_to=None, error="E", text="x"),
    ]
    encoded = [encode_reply(reply) for reply in replies]
    return [
        pack(flat | {"observation/state": seen.state, "prompt": "nut"}),
        pack({"observation": {"images": images, "state": seen.state}}),
        encode_request(Hello(number=1)),
        encode_request(Begin(number=2, seed=3)),
        encode_request(Ask(number=3, observation=seen, committed=chunk)),
        encode_request(Ask(number=4, observation=seen, committed=None), jpeg_quality=80),
        encode_facts(FACTS),
        *(reply.encode() if isinstance(reply, str) else reply for reply in encoded),
    ]


def mutate(draw: random.Random, good: list[bytes]) -> bytes:
    """A message that nobody would send."""
    how = draw.random()
    if how < 0.05:
        return draw.randbytes(draw.randrange(200))
    if how < 0.45:
        return odd(draw, draw.choice(good))
    data = bytearray(draw.choice(good))
    for _ in range(draw.choice((1, 1, 1, 2, 4, 16))):
        if data:
            draw.choice(DAMAGES)(draw, data, good)
    return bytes(data[:MAX_BYTES])


def odd(draw: random.Random, data: bytes) -> bytes:
    """A good message with an odd value, or two, in place of some of its own."""
    try:
        message = msgpack.unpackb(data)
    except (ValueError, msgpack.UnpackException):  # text
        message = {}
    for _ in range(draw.choice((1, 1, 2))):
        message = _replace(draw, message)
    return (msgpack.packb(message) or b"")[:MAX_BYTES]


def _replace(draw: random.Random, value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, dict) and value and draw.random() < 0.85:
        key = draw.choice(list(value))
        changed = dict(value)
        if draw.random() < 0.15:
            changed[draw.choice(NAMES)] = changed.pop(key)
        else:
            changed[key] = _replace(draw, value[key])
        return changed
    return odd_value(draw, 0)


def odd_value(draw: random.Random, depth: int) -> Any:  # noqa: ANN401
    """A value of any type that msgpack has, or a map that looks like an array, or an image."""
    kinds = 12 if depth < 3 else 6
    match draw.randrange(kinds):
        case 0:
            return draw.choice((None, True, False, msgpack.Timestamp(draw.randrange(9))))
        case 1:
            return draw.choice((0, 1, -1, 2**31, 2**63, 2**64 - 1, -(2**63), draw.getrandbits(40)))
        case 2:
            return draw.choice((0.0, -1.0, 1e308, 5e-324, float("nan"), float("inf")))
        case 3:
            return draw.choice(TEXTS)
        case 4:
            return draw.randbytes(draw.randrange(40))
        case 5:
            return msgpack.ExtType(draw.randrange(127), draw.randbytes(4))
        case 6:
            return [odd_value(draw, depth + 1) for _ in range(draw.randrange(5))]
        case 7:
            return {f"k{n}": odd_value(draw, depth + 1) for n in range(draw.randrange(4))}
        case 8:
            return {
                b"__jpeg__": True,
                b"data": draw.choice((b"", b"\xff\xd8\xff", odd_value(draw, 3))),
            }
        case 9:
            return {b"__npgeneric__": True, b"data": odd_value(draw, 3), b"dtype": _dtype(draw)}
        case _:
            shape = [draw.choice((0, 1, 2, 14, 2**31, 2**63, -1)) for _ in range(draw.randrange(5))]
            size = draw.choice((0, 4, 56, 112, 192))
            array = {b"__ndarray__": True, b"dtype": _dtype(draw), b"shape": shape}
            return array | {b"data": bytes(size)}


def _dtype(draw: random.Random) -> object:
    return draw.choice(DTYPES)


def _flip(draw: random.Random, data: bytearray, good: list[bytes]) -> None:
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def _overwrite(draw: random.Random, data: bytearray, good: list[bytes]) -> None:
    """With a byte that begins a container, a long length, or anything."""
    byte = draw.choice((0xDD, 0xDF, 0xC6, 0xDB, 0xC9, 0xFF, 0x00, draw.randrange(256)))
    data[draw.randrange(len(data))] = byte


def _cut(draw: random.Random, data: bytearray, good: list[bytes]) -> None:
    del data[draw.randrange(len(data)) :]


def _remove(draw: random.Random, data: bytearray, good: list[bytes]) -> None:
    at = draw.randrange(len(data))
    del data[at : at + draw.randrange(1, 9)]


def _insert(draw: random.Random, data: bytearray, good: list[bytes]) -> None:
    at = draw.randrange(len(data))
    data[at:at] = draw.randbytes(draw.randrange(1, 9))


def _repeat(draw: random.Random, data: bytearray, good: list[bytes]) -> None:
    at = draw.randrange(len(data))
    piece = data[at : at + draw.randrange(1, 30)]
    data[at:at] = piece * draw.choice((1, 2, 50))


def _splice(draw: random.Random, data: bytearray, good: list[bytes]) -> None:
    other = draw.choice(good)
    data[draw.randrange(len(data)) :] = other[draw.randrange(len(other)) :]


Damage = Callable[[random.Random, bytearray, list[bytes]], None]
DAMAGES: tuple[Damage, ...] = (
    _flip,
    _flip,
    _flip,
    _overwrite,
    _cut,
    _remove,
    _insert,
    _repeat,
    _splice,
)
