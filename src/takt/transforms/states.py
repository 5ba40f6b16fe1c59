"""A body's measured state -> the policy's state vector."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from takt.transforms.normalise import Normalise
from takt.transforms.slots import Slots


@dataclass(frozen=True, slots=True)
class StateTransform:
    """Slotted; normalised only if statistics are given (released models take raw units)."""

    slots: Slots
    normalise: Normalise | None = None

    def forward(self, state: np.ndarray) -> np.ndarray:
        """(..., A) -> (..., D) float32."""
        wide = self.slots.forward(state).astype(np.float32)
        if self.normalise is None:
            return wide
        return self.normalise.forward(wide[..., None, :])[..., 0, :]

    def inverse(self, wide: np.ndarray) -> np.ndarray:
        """(..., D) -> (..., A)."""
        if self.normalise is not None:
            wide = self.normalise.inverse(wide[..., None, :])[..., 0, :]
        return self.slots.inverse(wide)


def fit_state_statistics(states: Iterable[np.ndarray], slots: Slots, eps: float = 0.0) -> Normalise:
    """Statistics (1, D) of blocks of (sample, A) states; `eps` of the policy's contract."""
    blocks = (
        (slots.forward(block.astype(np.float64))[:, None], np.ones((len(block), 1), bool))
        for block in states
    )
    return Normalise.fitted(blocks, eps)
