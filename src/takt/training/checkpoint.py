"""A stage's resumable state on disk."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from takt.datasets.atomic import write_atomically
from takt.types import TaktError


@dataclass(frozen=True, slots=True)
class TrainingState:
    """Everything a resumed stage needs: steps done, weights, optimiser and averaged weights."""

    step: int
    stage: dict[str, Tensor]
    optimiser: dict[str, Any]
    ema: list[Tensor]


def save_state(path: Path, state: TrainingState) -> None:
    """Write by temporary file and rename: a kill leaves the old file or the new one.

    Raises:
        OSError: no space; the old file is still there.
    """
    content = {
        "step": state.step,
        "stage": state.stage,
        "optimiser": state.optimiser,
        "ema": state.ema,
    }
    buffer = io.BytesIO()  # torch.save hides the OSError of a full disk
    torch.save(content, buffer)
    write_atomically(path, buffer.getvalue())


def load_state(path: Path) -> TrainingState:
    """Read what `save_state` wrote; tensors and plain containers only (`weights_only`)."""
    try:
        content = torch.load(path, weights_only=True)
        return TrainingState(
            content["step"], content["stage"], content["optimiser"], content["ema"]
        )
    except Exception as error:
        raise TaktError(
            f"{path} is not a readable training state ({error}); delete it to start the stage anew"
        ) from error
