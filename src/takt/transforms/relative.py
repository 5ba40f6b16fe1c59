"""Actions as offsets from the measured state."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class RelativeToState:
    """Subtracts the state measured at the chunk's stamp from the axes marked `relative` (A,)."""

    relative: tuple[bool, ...]

    def forward(self, actions: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Absolute (..., T, A) actions and the (..., A) state at their chunk's stamp -> offsets."""
        return actions - self._anchor(state)

    def inverse(self, offsets: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Undo `forward` with the same state."""
        return offsets + self._anchor(state)

    def _anchor(self, state: np.ndarray) -> np.ndarray:
        if not any(self.relative):  # the state may then have axes of its own
            return np.zeros(1, state.dtype)
        return np.where(self.relative, state, 0)[..., None, :]
