"""A checkpoint directory: config, weights, tokenizer and the bodies it knows.

Files: `config.json`, `tokenizer.json`, `preprocessor_config.json` with
`action_config[body] = {mean, std, ...}` as released, and the weights in any layout of `weights`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from takt.policies.xr0.checkpoint_files import (
    CONFIG,
    PREPROCESSOR,
    TOKENIZER,
    CheckpointError,
    existing_file,
    read_json,
)
from takt.policies.xr0.config import Contract
from takt.policies.xr0.lora import AdaptedLinear
from takt.policies.xr0.model import XR0
from takt.policies.xr0.preprocessor_config import (
    BodyStatistics,
    body_json,
    image_settings,
    read_bodies,
    with_image_settings,
)
from takt.policies.xr0.quantisation import QuantisedLinear
from takt.policies.xr0.released_config import from_json, own_block, stored_contract, to_json
from takt.policies.xr0.weights import load_weights, write_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """An opened checkpoint; `bodies` by embodiment name.

    `has_words`: whether its language model learnt from text, None where `config.json` does not say.
    """

    model: XR0
    tokenizer: Tokenizer
    bodies: dict[str, BodyStatistics]
    has_words: bool | None = None

    def body(self, name: str) -> BodyStatistics:
        """Statistics of a body; an unknown name lists the known ones."""
        if name not in self.bodies:
            raise CheckpointError(
                f"checkpoint was not trained for {name!r}; it knows: "
                f"{', '.join(sorted(self.bodies)) or 'no body at all'}; use another checkpoint, or "
                "train one for this body"
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

    Raises:
        CheckpointError: The model has 8-bit layers or adapters, which the layout cannot hold.
    """
    _require_plain(checkpoint.model)
    directory.mkdir(parents=True, exist_ok=True)
    model = checkpoint.model
    checkpoint.tokenizer.save(str(directory / TOKENIZER))
    bodies = {name: body_json(body) for name, body in checkpoint.bodies.items()}
    preprocessor = {**image_settings(model.config), "action_config": bodies}
    config = to_json(model.config)
    if checkpoint.has_words is not None:
        config["takt"]["has_words"] = checkpoint.has_words
    _write_json(directory / CONFIG, config)
    _write_json(directory / PREPROCESSOR, preprocessor)
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
    data = read_json(directory / CONFIG)
    config = from_json(data, contract)
    if "contract" in data.get("takt", {}):
        _check_contract(stored=stored_contract(data), asked=config.contract)
    preprocessor = read_json(directory / PREPROCESSOR)
    config = with_image_settings(config, preprocessor)
    bodies = read_bodies(preprocessor, config)
    tokenizer = read_tokenizer(directory / TOKENIZER)
    model = load_weights(config, directory, dtype=dtype, device=device)
    words = own_block(data).get("has_words")
    return Checkpoint(model=model, tokenizer=tokenizer, bodies=bodies, has_words=words)


def _require_plain(model: XR0) -> None:
    for name, layer in model.named_modules():
        if isinstance(layer, QuantisedLinear | AdaptedLinear):
            raise CheckpointError(
                f"expected plain weights to store, {name} is a {type(layer).__name__}; store the "
                "model before `quantise`, or after `merge_adapters`"
            )


def runnable(model: XR0) -> XR0:
    """The model in a dtype to compute in: float16, which only saves space, becomes float32."""
    # Its range is too small: activations overflow.
    return model.float() if model.dtype == torch.float16 else model


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


def read_tokenizer(path: Path) -> Tokenizer:
    """A tokenizer's file; a `CheckpointError` if it is missing or broken."""
    try:
        return Tokenizer.from_file(str(existing_file(path)))
    except CheckpointError:
        raise
    except Exception as error:  # the library has no class of its own for a broken file
        raise CheckpointError(
            f"{path} is not a tokenizer: {error}; use the file that came with the weights"
        ) from error


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=1) + "\n")
