"""What a shift must know of a checkpoint before any model is loaded; reads its JSON only."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

from takt.policies.xr0.checkpoint_files import CONFIG, PREPROCESSOR, read_json
from takt.policies.xr0.preprocessor_config import read_bodies
from takt.policies.xr0.released_config import from_json
from takt.types import TaktError


class UnusableCheckpointError(TaktError):
    """A folder that holds no checkpoint for this body and mode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointChunking:
    """T, T_e and the longest clean prefix that a policy was trained for, in control ticks.

    `prefix_time`: a prefix has the chunk's flow time (XR-0), or the time of clean actions (RTC).
    """

    horizon: int
    execute: int
    max_prefix: int
    prefix_time: Literal["chunk", "one"]


def packaged_checkpoint(name: str) -> Path:
    """Folder of a checkpoint that ships with takt; not checked to exist."""
    return Path(str(files("takt.policies.xr0"))) / "checkpoints" / name


def read_chunking(
    folder: Path, embodiment: str, accepted: str = "nano, expert, hold or a checkpoint's folder"
) -> CheckpointChunking:
    """How the checkpoint in `folder` chains its plans on a body.

    `accepted`: what --policy takes, for whoever named something else.

    Raises:
        UnusableCheckpointError: there is none, it is damaged, or it drives other bodies.
    """
    try:
        config = from_json(read_json(folder / CONFIG))
        bodies = read_bodies(read_json(folder / PREPROCESSOR), config)
    except TaktError as error:
        raise UnusableCheckpointError(f"{folder}: {error}. --policy takes {accepted}") from error
    if embodiment not in bodies:
        raise UnusableCheckpointError(
            f"expected a checkpoint for {embodiment!r}, {folder} drives "
            f"{', '.join(bodies) or 'no body'}; choose another with --policy"
        )
    body = bodies[embodiment]
    return CheckpointChunking(
        horizon=body.action.horizon,
        execute=body.execute_horizon,
        max_prefix=config.contract.max_prefix,
        prefix_time=config.contract.prefix_time,
    )
