"""Which files of a checkpoint directory hold what; torch is not imported here."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from takt.types import TaktError

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
TOKENIZER = "tokenizer.json"
WHOLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
TRAINER = "mp_rank_00_model_states.pt"


class CheckpointError(TaktError):
    """A checkpoint that does not fit: names every offending file, key or body."""


def is_complete(folder: Path) -> bool:
    """Whether a checkpoint was written there to its end: its weights' file or index comes last."""
    return (folder / WHOLE).is_file() or (folder / INDEX).is_file()


def find_weights(path: Path) -> Path:
    """The one file at or under `path` that holds or indexes weights; a whole file comes first.

    Raises:
        CheckpointError: There is none, or more than one of the trainer's.
    """
    if path.is_file():
        return path
    for file in (path / WHOLE, path / INDEX):
        if file.is_file():
            return file
    found = sorted(path.rglob(TRAINER))
    if len(found) > 1:
        listed = "\n  ".join(str(file) for file in found)
        raise CheckpointError(f"expected one checkpoint under {path}, name one of:\n  {listed}")
    if not found:
        raise CheckpointError(
            f"checkpoint file not found: expected {WHOLE}, {INDEX} or {TRAINER} at {path}"
        )
    return found[0]


def shards_of(index: Path) -> dict[Path, set[str]]:
    """The files that an index names, each with the keys that it promises there.

    Raises:
        CheckpointError: It is not an index, or files are not there.
    """
    try:
        owner: dict[str, str] = read_json(index)["weight_map"]
        # Only the last part counts: an index never leads out of its own directory.
        shards: dict[Path, set[str]] = {}
        for key, name in sorted(owner.items()):
            shards.setdefault(index.parent / Path(name).name, set()).add(key)
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index} is not an index of shards: {error!r}") from error
    absent = sorted(file.name for file in shards if not file.is_file())
    if absent:
        raise CheckpointError(
            f"{index} names shards that are not there: {', '.join(absent)}; copy them too"
        )
    return dict(sorted(shards.items()))


def require_promised(
    index: Path, promised: Mapping[Path, set[str]], held: Mapping[Path, Iterable[str]]
) -> None:
    """Raise a `CheckpointError` unless every shard holds the keys of `promised`, and no others.

    Args:
        index: Named in the error.
        promised: By shard, as `shards_of` gives them.
        held: By shard, those in its header.
    """
    owner = {key: shard.name for shard, keys in promised.items() for key in keys}
    problems: list[str] = []
    for shard, keys in promised.items():
        found = set(held[shard])
        problems += [f"{shard.name} lacks {key}" for key in sorted(keys - found)]
        problems += [
            f"{shard.name} holds {key} of {owner.get(key, 'no shard')}"
            for key in sorted(found - keys)
        ]
    if problems:
        raise CheckpointError(
            f"{index}: expected every tensor once, in the shard that the index names; got:\n  "
            + "\n  ".join(problems)
            + "\ncopy the index and its shards from one checkpoint"
        )


def existing_file(path: Path) -> Path:
    """`path`, if it is a file; else a `CheckpointError` that names it."""
    if not path.is_file():
        raise CheckpointError(
            f"checkpoint file not found: {path}{_mistaken(path.parent)}; give the folder that "
            "`takt train` wrote or that was downloaded whole"
        )
    return path


def _mistaken(folder: Path) -> str:
    """What was given in place of a checkpoint's folder, where that can be told."""
    kind = ""
    if not folder.exists():
        kind = "is not there"
    elif not folder.is_dir():
        kind = "is a file, not a folder"
    elif (folder / "meta" / "info.json").is_file():
        kind = "is a LeRobot dataset"
    elif (folder / "inputs.safetensors").is_file():
        kind = "is a recorded case of `takt model parity`"
    elif (folder / "policy" / CONFIG).is_file():
        kind = f"is a run's folder, its checkpoint is {folder / 'policy'}"
    return f" ({folder} {kind})" if kind else ""


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        CheckpointError: No such file, or it holds something else.
    """
    try:
        data = json.loads(existing_file(path).read_text())
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{path}: expected one JSON object, got {type(data).__name__}")
    return data
