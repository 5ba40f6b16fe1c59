"""What a shift must know of a checkpoint before any model is loaded; reads its JSON only."""

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from takt.types import TaktError


class UnusableCheckpointError(TaktError):
    """A folder that holds no checkpoint for this body and mode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointChunking:
    """T, T_e and the longest clean prefix that a policy was trained for, in control ticks."""

    horizon: int
    execute: int
    max_prefix: int


def packaged_checkpoint(name: str) -> Path:
    """Folder of a checkpoint that ships with takt; not checked to exist."""
    return Path(str(files("takt.policies.xr0"))) / "checkpoints" / name


def read_chunking(folder: Path, embodiment: str) -> CheckpointChunking:
    """How the checkpoint in `folder` chains its plans on a body.

    Raises:
        UnusableCheckpointError: there is none, it is damaged, or it drives other bodies.
    """
    config = _read(folder, "config.json")
    bodies = _read(folder, "preprocessor_config.json").get("action_config", {})
    if embodiment not in bodies:
        raise UnusableCheckpointError(
            f"expected a checkpoint for {embodiment!r}, {folder} drives "
            f"{', '.join(bodies) or 'no body'}; choose another with --policy"
        )
    try:
        steps = len(bodies[embodiment]["mean"])
        return CheckpointChunking(
            horizon=steps,
            execute=bodies[embodiment].get("execute_horizon", steps),
            max_prefix=config["takt"]["contract"]["max_prefix"],
        )
    except (KeyError, TypeError) as error:
        raise UnusableCheckpointError(
            f"expected action statistics and takt.contract with all its fields in {folder}, got "
            f"{error!r}; if only the contract is missing, `load_checkpoint(folder, contract)` and "
            "`save_checkpoint` add it; else train or download the checkpoint again"
        ) from error


def _read(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    if not path.is_file():
        raise UnusableCheckpointError(
            f"expected a checkpoint in {folder}, found no {name}; "
            "give --policy nano|expert|hold or the folder that `takt train` wrote"
        )
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise UnusableCheckpointError(
            f"expected JSON in {path}, got {error}; the checkpoint is damaged"
        ) from error
