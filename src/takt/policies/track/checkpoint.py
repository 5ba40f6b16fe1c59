"""A trained network in one safetensors file: float16 weights, statistics, and what it is."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import cast, get_args

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from takt.policies.track.config import Network, TrackConfig
from takt.policies.track.model import TrackDiT
from takt.policies.xr0.config import DiTConfig
from takt.types import TaktError


class TrackCheckpointError(TaktError):
    """A file that holds no network of the tracking task."""


def serialise(model: TrackDiT) -> bytes:
    """What `load` reads; statistics stay float32."""
    statistics = dict(model.named_buffers())
    tensors = {
        name: (tensor if name in statistics else tensor.half()).detach().contiguous()
        for name, tensor in model.state_dict().items()
    }
    return save(tensors, metadata={"config": json.dumps(asdict(model.config))})


def load(path: Path) -> TrackDiT:
    """The network in float32.

    Raises:
        TrackCheckpointError: no such file, or something else in it.
    """
    try:
        with safe_open(path, framework="pt") as file:
            config = json.loads((file.metadata() or {})["config"])
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        config["dit"] = DiTConfig(**config["dit"])
        if config["network"] not in get_args(Network):
            raise ValueError(f"unknown network {config['network']!r}")
        model = TrackDiT(TrackConfig(**config))
        model.load_state_dict(tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise TrackCheckpointError(
            f"{path}: expected a network that `takt bench delay` trained, got {error}; "
            "train it again, or reinstall takt for those it ships"
        ) from error
    return cast(TrackDiT, model.eval().requires_grad_(requires_grad=False))
