"""Folders of transformers checkpoints: opened from disk only, and without unpickling."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from tokenizers import Tokenizer
from transformers import BaseImageProcessor, PreTrainedModel
from transformers.utils import logging

from takt.types import TaktError

Model = TypeVar("Model", bound=PreTrainedModel)
Processor = TypeVar("Processor", bound=BaseImageProcessor)


def load_model(folder: Path, known: Mapping[str, type[Model]], device: str) -> Model:
    """The model that config.json's `model_type`, one of `known`, names; ready to infer.

    Raises:
        TaktError: the folder is missing, incomplete, or holds a model of another type.
    """
    found = model_type(folder)
    if found not in known:
        raise TaktError(f"{folder}: expected a model of type {' or '.join(known)}, got {found!r}")
    logging.disable_progress_bar()  # several processes load at once
    try:
        model = known[found].from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype="auto"
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise TaktError(f"{folder}: expected config.json and safetensors of {found}, cannot load "
                        f"them ({error})") from error  # fmt: skip
    torch.nn.Module.to(model, device)
    return model.eval()


def model_type(folder: Path) -> str:
    """What config.json says; TaktError where it says nothing."""
    path = folder / "config.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["model_type"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TaktError(
            f"{folder}: expected a model's folder with a config.json that has a model_type, got "
            f"none ({error}); download the checkpoint there first"
        ) from error


def load_tokenizer(folder: Path, needed: tuple[str, ...]) -> Tokenizer:
    """From tokenizer.json, which must have the tokens `needed`."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise TaktError(f"{path}: expected the model's tokenizer, found none; download it, too")
    tokenizer = Tokenizer.from_file(str(path))
    for token in needed:
        token_id(tokenizer, token)
    return tokenizer


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """The token's number; TaktError where the tokenizer has none."""
    number = tokenizer.token_to_id(token)
    if number is None:
        raise TaktError(f"expected a tokenizer with {token!r}, got one without it")
    return number


def load_processor(folder: Path, kind: type[Processor]) -> Processor:
    """From preprocessor_config.json, or the image processor in processor_config.json.

    Raises:
        TaktError: neither says how images are prepared; a guess may be another model's way.
    """
    alone = (folder / "preprocessor_config.json").is_file()
    if not alone and "image_processor" not in _settings(folder / "processor_config.json"):
        raise TaktError(
            f"{folder}: expected how images are prepared in preprocessor_config.json, or under "
            "image_processor in processor_config.json, got neither; download them, too"
        )
    try:
        return kind.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise TaktError(
            f"{folder}: the image processor's settings are damaged ({error})"
        ) from error


def _settings(path: Path) -> dict[str, object]:
    """An object of a JSON file, {} if there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
