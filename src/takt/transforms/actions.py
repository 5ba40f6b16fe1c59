"""A body's absolute actions <-> the normalised, slotted chunk of a policy."""

from collections.abc import Iterable
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
    chunks: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]],
    spec: EmbodimentSpec,
    width: int,
    eps: float,
) -> Normalise:
    """Per-timestep statistics of demonstrated chunks.

    Args:
        chunks: Blocks of absolute actions (chunk, T, A), the state (chunk, A) measured at each
            chunk's stamp, and (chunk, T) boolean, False on padded steps, which do not count.
        spec: The body.
        width: Policy columns D.
        eps: Of the policy's contract.
    """
    relative, slots = RelativeToState(spec.relative), Slots(spec.slots, width)
    blocks = (
        (slots.forward(relative.forward(actions.astype(np.float64), state)), valid)
        for actions, state, valid in chunks
    )
    return Normalise.fitted(blocks, eps)
