"""A light head that mends every planned action from what is seen on its own tick (A2C2).

Unlike the published one it sees the next few planned actions, not one, and no features of the
network that planned. It runs in NumPy on one sample, in the control loop.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.torch import save
from torch import Tensor, nn

from takt.policies.track.checkpoint import TrackCheckpointError
from takt.policies.track.config import HORIZON
from takt.types import ActionChunk, Observation

LOOK_AHEAD = 4
"""Planned actions that it sees, the one to mend first."""
_STATE, _AXES, _HIDDEN = 8, 2, 64
_REACH_RAD = 0.1  # scale of an action seen from where the body is


class CorrectionHead(nn.Module):
    """State, planned actions and their place in the chunk -> what to add to the first of them."""

    def __init__(self) -> None:
        """Corrects nothing at first."""
        super().__init__()
        width = _STATE + LOOK_AHEAD * _AXES + 1
        self.mlp = nn.Sequential(
            nn.Linear(width, _HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, _HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, _AXES),
        )
        nn.init.zeros_(self.mlp[-1].weight)  # pyright: ignore[reportArgumentType]
        nn.init.zeros_(self.mlp[-1].bias)  # pyright: ignore[reportArgumentType]

    def forward(self, state: Tensor, planned: Tensor, index: Tensor) -> Tensor:
        """(N, state) raw, (N, `LOOK_AHEAD`, D) absolute, (N,) -> (N, D) rad."""
        place = state[:, :_AXES]
        seen = torch.cat((state[:, : 2 * _AXES], state[:, 4:6] - place, state[:, 6:]), dim=1)
        near = ((planned - place[:, None]) / _REACH_RAD).flatten(1)
        when = (index / HORIZON)[:, None]
        return _REACH_RAD * self.mlp(torch.cat((seen, near, when), dim=1))

    def layers(self) -> list[nn.Module]:
        """None that is worth computing again."""
        return []

    def serialise(self) -> bytes:
        """What `TrackCorrector.load` reads."""
        return save({name: x.detach().contiguous() for name, x in self.state_dict().items()})


class TrackCorrector:
    """The trained head as the control loop asks it."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        """`weights` are a head's state."""
        rows = (0, 2, 4)
        self._layers = [(weights[f"mlp.{row}.weight"], weights[f"mlp.{row}.bias"]) for row in rows]

    @classmethod
    def load(cls, path: Path) -> "TrackCorrector":
        """From a file that `CorrectionHead.serialise` gave.

        Raises:
            TrackCheckpointError: no such file, or something else in it.
        """
        try:
            return cls(load_file(path))
        except (OSError, SafetensorError, KeyError) as error:
            raise TrackCheckpointError(
                f"{path}: expected a correction head that `takt bench delay` trained, got {error}; "
                "train it again, or reinstall takt for the one it ships"
            ) from error

    def correct(self, observation: Observation, chunk: ActionChunk, index: int) -> np.ndarray:
        """(action,) to execute instead of `chunk.actions[index]`."""
        state, place = observation.state, observation.state[:_AXES]
        steps = np.minimum(np.arange(index, index + LOOK_AHEAD), len(chunk.actions) - 1)
        near = (chunk.actions[steps] - place) / _REACH_RAD
        seen = state[: 2 * _AXES], state[4:6] - place, state[6:]
        x = np.concatenate((*seen, near.ravel(), [index / HORIZON])).astype(np.float32)
        *inner, (weight, bias) = self._layers
        for matrix, offset in inner:
            x = np.maximum(matrix @ x + offset, 0)
        return (chunk.actions[index] + _REACH_RAD * (weight @ x + bias)).astype(np.float32)
