"""A checkpoint directory: config, weights, tokenizer and the bodies it knows.

Files: `config.json`, `model.safetensors`, `tokenizer.json`, `preprocessor_config.json` with
`action_config[body] = {mean, std, ...}` as released. Nothing is unpickled.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers.models.qwen3_vl.modeling_qwen3_vl import (
    Qwen3VLTextRotaryEmbedding,
    Qwen3VLVisionRotaryEmbedding,
)

from takt.policies.xr0.config import Contract, XR0Config
from takt.policies.xr0.model import XR0
from takt.policies.xr0.released_config import from_json, to_json
from takt.transforms.normalise import Normalise
from takt.types import TaktError


class CheckpointError(TaktError):
    """A checkpoint that does not fit: names every offending file, key or body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyStatistics:
    """What a checkpoint knows about one body.

    Attributes:
        action: Rows are the chunk's T steps, columns the policy's.
        state: One row; None where the policy takes the raw state.
        execute_horizon: T_e, steps of a chunk to execute before the next is asked for.
    """

    action: Normalise
    state: Normalise | None
    execute_horizon: int

    def __post_init__(self) -> None:
        """T_e lies inside the chunk."""
        if not 0 < self.execute_horizon <= self.action.horizon:
            raise CheckpointError(
                f"execute_horizon must be in 1..{self.action.horizon}, got {self.execute_horizon}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """An opened checkpoint; `bodies` by embodiment name."""

    model: XR0
    tokenizer: Tokenizer
    bodies: dict[str, BodyStatistics]

    def body(self, name: str) -> BodyStatistics:
        """Statistics of a body; an unknown name lists the known ones."""
        if name not in self.bodies:
            raise CheckpointError(
                f"checkpoint was not trained for {name!r}; it knows: "
                f"{', '.join(sorted(self.bodies)) or 'no body at all'}"
            )
        return self.bodies[name]


def save_checkpoint(
    directory: Path, checkpoint: Checkpoint, dtype: torch.dtype = torch.float32
) -> None:
    """Write all four files; weights are stored as `dtype` (float16 halves the file).

    The weights come last and whole: a directory that has them is complete.
    """
    directory.mkdir(parents=True, exist_ok=True)
    model = checkpoint.model
    weights = {
        name: tensor.detach().to("cpu", dtype).contiguous()
        for name, tensor in model.state_dict().items()
    }
    checkpoint.tokenizer.save(str(directory / "tokenizer.json"))
    bodies = {name: _body_json(body) for name, body in checkpoint.bodies.items()}
    _write_json(directory / "config.json", to_json(model.config))
    _write_json(directory / "preprocessor_config.json", {"action_config": bodies})
    draft = directory / "model.safetensors.tmp"
    save_file(weights, draft, metadata={"format": "pt"})
    draft.replace(directory / "model.safetensors")


def load_checkpoint(directory: Path, contract: Contract | None = None) -> Checkpoint:
    """Open a directory in evaluation mode and float32.

    Args:
        directory: Written by `save_checkpoint`, or of the same layout.
        contract: Needed only if `config.json` does not name one.

    Raises:
        CheckpointError: A file is missing or broken, or keys or shapes disagree with the config.
    """
    config = from_json(_read_json(directory / "config.json"), contract)
    model = load_weights(config, directory / "model.safetensors")
    entries = _read_json(directory / "preprocessor_config.json").get("action_config", {})
    bodies = {name: _body(entry, config) for name, entry in entries.items()}
    tokenizer = Tokenizer.from_file(str(_existing(directory / "tokenizer.json")))
    return Checkpoint(model=model, tokenizer=tokenizer, bodies=bodies)


def load_weights(config: XR0Config, path: Path) -> XR0:
    """A model of `config` with the weights of one safetensors file, cast to float32."""
    try:
        weights = load_file(_existing(path))
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a complete safetensors file: {error}") from error
    with torch.device("meta"):
        model = XR0(config)
    check_keys(model, weights)
    model.load_state_dict({name: x.float() for name, x in weights.items()}, assign=True)
    _make_buffers(model)
    return model.eval()


def check_keys(model: XR0, weights: dict[str, torch.Tensor]) -> None:
    """Raise a `CheckpointError` that lists every missing, extra or mis-shaped key."""
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    problems = [f"missing {name} {shape}" for name, shape in expected.items() if name not in found]
    problems += [
        f"unexpected {name} {shape}" for name, shape in found.items() if name not in expected
    ]
    problems += [
        f"{name}: expected {shape}, got {found[name]}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    if problems:
        raise CheckpointError(
            f"weights do not fit the config ({len(problems)} keys):\n  " + "\n  ".join(problems)
        )


def _make_buffers(model: XR0) -> None:
    """Compute transformers' rotary buffers, which no file stores and the meta device left empty."""
    text, visual = model.vlm.model.language_model, model.vlm.model.visual
    text.rotary_emb = Qwen3VLTextRotaryEmbedding(text.config)
    visual.rotary_pos_emb = Qwen3VLVisionRotaryEmbedding(visual.config)


def _body_json(body: BodyStatistics) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "mean": body.action.mean.tolist(),
        "std": body.action.std.tolist(),
        "execute_horizon": body.execute_horizon,
    }
    if body.state is not None:
        entry["state_mean"] = body.state.mean[0].tolist()
        entry["state_std"] = body.state.std[0].tolist()
    return entry


def _body(entry: dict[str, Any], config: XR0Config) -> BodyStatistics:
    mean, std = (np.array(entry[name], np.float32) for name in ("mean", "std"))
    if mean.shape != std.shape or mean.ndim != 2 or mean.shape[1] != config.action_dim:
        raise CheckpointError(
            f"action statistics: expected two (steps, {config.action_dim}) arrays, "
            f"got {mean.shape} and {std.shape}"
        )
    state = None
    if "state_mean" in entry:
        state_mean, state_std = (
            np.array([entry[name]], np.float32) for name in ("state_mean", "state_std")
        )
        state = Normalise(state_mean, state_std, config.contract.decode_eps)
    return BodyStatistics(
        action=Normalise(mean, std, config.contract.decode_eps),
        state=state,
        execute_horizon=entry.get("execute_horizon", len(mean)),
    )


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise CheckpointError(f"checkpoint file not found: {path}")
    return path


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(_existing(path).read_text())
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=1) + "\n")
