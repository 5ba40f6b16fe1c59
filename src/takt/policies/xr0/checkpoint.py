"""A checkpoint directory: config, weights, tokenizer and the bodies it knows.

Files: `config.json`, `tokenizer.json`, `preprocessor_config.json` with
`action_config[body] = {mean, std, ...}` as released, and the weights in any layout of `weights`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from takt.policies.xr0.config import Contract, XR0Config
from takt.policies.xr0.images import image_settings, with_image_settings
from takt.policies.xr0.model import XR0
from takt.policies.xr0.released_config import from_json, to_json
from takt.policies.xr0.weights import CheckpointError, load_weights, write_weights
from takt.transforms.normalise import Normalise


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
    directory: Path, checkpoint: Checkpoint, dtype: torch.dtype | None = torch.float32
) -> None:
    """Write the whole directory.

    The weights come last and whole: a directory that has them is complete.

    Args:
        directory: Made if it is not there.
        checkpoint: What to write.
        dtype: Weights are stored as this (float16 halves the file); None keeps their own.
    """
    directory.mkdir(parents=True, exist_ok=True)
    model = checkpoint.model
    checkpoint.tokenizer.save(str(directory / "tokenizer.json"))
    bodies = {name: _body_json(body) for name, body in checkpoint.bodies.items()}
    preprocessor = {**image_settings(model.config), "action_config": bodies}
    _write_json(directory / "config.json", to_json(model.config))
    _write_json(directory / "preprocessor_config.json", preprocessor)
    write_weights(directory, model.state_dict().items(), dtype)


def load_checkpoint(
    directory: Path,
    contract: Contract | None = None,
    *,
    dtype: torch.dtype | None = torch.float32,
    device: torch.device | str = "cpu",
) -> Checkpoint:
    """Open a directory in evaluation mode.

    Args:
        directory: Written by `save_checkpoint`, or of the same layout.
        contract: Needed only if `config.json` does not name one.
        dtype: Of the loaded weights; None keeps what is stored, without copying it.
        device: Where the weights go.

    Raises:
        CheckpointError: A file is missing or broken, keys or shapes disagree with the config, or
            the contract is not the one that `config.json` names.
        NotEnoughMemoryError: The weights do not fit on the device.
    """
    data = _read_json(directory / "config.json")
    config = from_json(data, contract)
    if "contract" in data.get("takt", {}):
        _check_contract(stored=from_json(data).contract, asked=config.contract)
    preprocessor = _read_json(directory / "preprocessor_config.json")
    config = with_image_settings(config, preprocessor)
    entries = preprocessor.get("action_config", {})
    bodies = {name: _body(entry, config) for name, entry in entries.items()}
    tokenizer = Tokenizer.from_file(str(_existing(directory / "tokenizer.json")))
    model = load_weights(config, directory, dtype=dtype, device=device)
    return Checkpoint(model=model, tokenizer=tokenizer, bodies=bodies)


_CONTRACT_FAULTS = {
    "local_window": "the attention mask shows an action {asked} earlier actions, trained {stored}",
    "rope_offset": "noisy actions sit {asked} rotary positions later, trained {stored}",
    "decode_eps": "decoding adds {asked} to the standard deviation, trained {stored}",
    "max_prefix": "a chunk may start with {asked} clean actions, trained up to {stored}",
    "prefix_time": "clean actions stand at the flow time of {asked}, trained at that of {stored}",
}


def _check_contract(stored: Contract, asked: Contract) -> None:
    """Raise with what would go wrong if weights of one contract ran under another."""
    wrong = []
    for name, text in _CONTRACT_FAULTS.items():
        values = [getattr(contract, name) for contract in (stored, asked)]
        if values[0] != values[1]:
            values = ["all" if value is None else value for value in values]
            wrong.append(text.format(stored=values[0], asked=values[1]))
    if wrong:
        raise CheckpointError(
            f"expected the contract {stored.name!r} that config.json names, got {asked.name!r}: "
            f"{'; '.join(wrong)}. Nothing else would fail, but the actions would be wrong. Leave "
            "the contract out; to train on under another one, use `load_weights` with a config "
            "that has it"
        )


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
