"""The files of a recorded case."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from takt.policies.xr0.json_fields import Json
from takt.types import TaktError

REAL_DTYPES = frozenset(
    (
        *(torch.float64, torch.float32, torch.bfloat16, torch.float16),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
    )
)
"""Dtypes whose numbers can be compared as float64."""


def read_config(path: Path) -> Json:
    """A case's `config.json`, its `fixture` block included."""
    try:
        data = json.loads(path.read_text())
    except OSError as error:
        raise TaktError(
            f"{path.parent} is not a recorded case: expected config.json, model.safetensors, "
            f"inputs.safetensors and outputs.safetensors ({error})"
        ) from error
    except ValueError as error:
        raise TaktError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(data, dict):
        raise TaktError(f"{path}: expected one JSON object, got {type(data).__name__}")
    return data


def read_tensors(path: Path) -> dict[str, Tensor]:
    """A safetensors file of a case."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise TaktError(f"{path}: expected a file of recorded tensors ({error})") from error
