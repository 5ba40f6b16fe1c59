"""A body's absolute actions <-> the normalised, slotted chunk of a policy."""

from dataclasses import dataclass

import numpy as np

from takt.transforms.normalise import Normalise
from takt.transforms.relative import RelativeToState
from takt.transforms.slots import Slots
from takt.types import EmbodimentSpec


@dataclass(frozen=True, slots=True)
class ActionTransform:
    """Relative to the state, then slotted, then normalised per timestep."""

    relative: RelativeToState
    slots: Slots
    normalise: Normalise

    @classmethod
    def of(cls, spec: EmbodimentSpec, normalise: Normalise) -> "ActionTransform":
        """For a body, with statistics whose columns are the policy's."""
        return cls(
            RelativeToState(spec.relative), Slots(spec.slots, normalise.mean.shape[1]), normalise
        )

    def forward(self, actions: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Absolute (..., t, A) with the (..., A) state at the chunk's stamp -> (..., t, D)."""
        return self.normalise.forward(self.slots.forward(self.relative.forward(actions, state)))

    def inverse(self, chunk: np.ndarray, state: np.ndarray) -> np.ndarray:
        """(..., t, D) -> absolute (..., t, A) in the body's units."""
        return self.relative.inverse(self.slots.inverse(self.normalise.inverse(chunk)), state)


def fit_action_statistics(
    actions: np.ndarray,
    state: np.ndarray,
    spec: EmbodimentSpec,
    width: int,
    eps: float,
    valid: np.ndarray | None = None,
) -> Normalise:
    """Per-timestep statistics of demonstrated chunks.

    Args:
        actions: Absolute (chunk, T, A).
        state: (chunk, A) measured at each chunk's stamp.
        spec: The body.
        width: Policy columns D.
        eps: Of the policy's contract.
        valid: (chunk, T) boolean, False on padded steps, which do not count; all do by default.
    """
    offsets = RelativeToState(spec.relative).forward(actions.astype(np.float64), state)
    wide = Slots(spec.slots, width).forward(offsets)
    if valid is None:
        valid = np.ones(wide.shape[:2], bool)
    weight = valid[..., None] / np.maximum(valid.sum(0), 1)[:, None]
    mean = (wide * weight).sum(0)
    std = np.sqrt(((wide - mean) ** 2 * weight).sum(0))
    return Normalise(mean.astype(np.float32), std.astype(np.float32), eps)
