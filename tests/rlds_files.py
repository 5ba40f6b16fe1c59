"""RLDS files written from the formats' definitions, bit by bit, with none of the reader's code."""

import io
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image


def crc32c(data: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def framed(payloads: Sequence[bytes]) -> bytes:
    parts = [
        (length := struct.pack("<Q", len(payload))) + _masked(length) + payload + _masked(payload)
        for payload in payloads
    ]
    return b"".join(parts)


def _varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _feature(values: Sequence[Any]) -> bytes:
    match values[0]:
        case bytes():
            return _field(1, b"".join(_field(1, value) for value in values))
        case float():
            return _field(2, _field(1, struct.pack(f"<{len(values)}f", *values)))
        case _:
            packed = b"".join(_varint(value & 0xFFFFFFFFFFFFFFFF) for value in values)
            return _field(3, _field(1, packed))


def example(features: Mapping[str, Sequence[Any]]) -> bytes:
    """A serialised tf.train.Example."""
    entries = [
        _field(1, _field(1, name.encode()) + _field(2, _feature(values)))
        for name, values in features.items()
    ]
    return _field(1, b"".join(entries))


def jpeg(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(image).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def picture(height: int, width: int, seed: int) -> np.ndarray:
    """Smooth, so that JPEG keeps it."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.arange(width)
    image[..., 1] = np.arange(height)[:, None]
    image[..., 2] = 20 * seed % 256
    return image


def _leaf(value: Any) -> dict[str, Any]:
    match value:
        case ("image", *shape):
            return {"image": {"shape": {"dimensions": [str(s) for s in shape]}, "dtype": "uint8"}}
        case "text":
            return {"pythonClassName": "...text_feature.Text", "text": {}}
        case ():
            return {"tensor": {"shape": {}, "dtype": "float32", "encoding": "none"}}
        case _:
            dimensions = [str(size) for size in value]
            return {"tensor": {"shape": {"dimensions": dimensions}, "dtype": "float32"}}


def _nested(shapes: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in shapes.items():
        *folders, name = key.split("/")
        at = tree
        for folder in folders:
            entry = at.setdefault(folder, {"featuresDict": {"features": {}}})
            at = entry["featuresDict"]["features"]
        at[name] = _leaf(value)
    return {"featuresDict": {"features": tree}}


def write_rlds(
    root: Path, name: str, shapes: Mapping[str, Any], shards: Sequence[Sequence[bytes]]
) -> list[Path]:
    """A dataset with one file per shard; returns the files."""
    root.mkdir(parents=True, exist_ok=True)
    steps = {"pythonClassName": "...Dataset", "sequence": {"feature": _nested(shapes)}}
    features = {"featuresDict": {"features": {"steps": steps}}}
    (root / "features.json").write_text(json.dumps(features))
    lengths = [str(len(shard)) for shard in shards]
    info = {"name": name, "splits": [{"name": "train", "shardLengths": lengths}]}
    (root / "dataset_info.json").write_text(json.dumps(info))
    paths: list[Path] = []
    for number, payloads in enumerate(shards):
        paths.append(root / f"{name}-train.tfrecord-{number:05d}-of-{len(shards):05d}")
        paths[-1].write_bytes(framed(payloads))
    return paths


FRACTAL_SHAPES = {
    "observation/image": ("image", 32, 48, 3),
    "observation/natural_language_instruction": "text",
    "observation/base_pose_tool_reached": (7,),
    "observation/gripper_closed": (1,),
    "action/world_vector": (3,),
    "action/rotation_delta": (3,),
    "action/gripper_closedness_action": (1,),
    "is_first": (),
}


def fractal_example(seed: int, steps: int = 6, **changes: Sequence[Any]) -> bytes:
    """An episode of the Fractal layout; `changes` replace features by their last name."""
    features: dict[str, Sequence[Any]] = {
        "observation/image": [jpeg(picture(32, 48, seed + t)) for t in range(steps)],
        "observation/natural_language_instruction": [f"pick can {seed}".encode()] * steps,
        "observation/base_pose_tool_reached": [
            seed + t + a / 8 for t in range(steps) for a in range(7)
        ],
        "observation/gripper_closed": [float(t % 2) for t in range(steps)],
        "action/world_vector": [t / 4 for t in range(3 * steps)],
        "action/rotation_delta": [-t / 4 for t in range(3 * steps)],
        "action/gripper_closedness_action": [1.0] * steps,
        "is_first": [1] + [0] * (steps - 1),
    }
    for last, values in changes.items():
        key = next(key for key in features if key.endswith(last))
        features[key] = values
    return example({f"steps/{key}": values for key, values in features.items()})
