"""Per-timestep mean and deviation."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from beartype import beartype
from jaxtyping import Float32, jaxtyped

from takt.types import TaktError

_ACTIVE_STD = 1e-5  # the released threshold between a used and an unused column


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, slots=True)
class Normalise:
    """`(x - mean) / (std + eps)` with one row per chunk step; unused columns become 0.

    A column is used at a step where its `std` exceeds 1e-5. `inverse` is the released formula
    everywhere: the tiny `std` of an unused column decodes it to nearly its mean.
    """

    mean: Float32[np.ndarray, "step column"]
    std: Float32[np.ndarray, "step column"]
    eps: float = 0.0

    def __post_init__(self) -> None:
        """Statistics are finite, deviations not negative."""
        if not (np.isfinite(self.mean).all() and np.isfinite(self.std).all()):
            raise TaktError(
                "normalisation statistics must be finite; recompute them from the dataset"
            )
        if (self.std < 0).any():
            raise TaktError(
                f"std: expected deviations from 0 on, got {self.std.min():g}; recompute the "
                "normalisation statistics from the dataset"
            )

    @classmethod
    def fitted(cls, blocks: Iterable[tuple[np.ndarray, np.ndarray]], eps: float) -> "Normalise":
        """Of data in blocks, of which one at a time is held; at least one.

        Args:
            blocks: (sample, T, D) float64, and (sample, T) boolean: which of their steps count.
            eps: Of the policy's contract.
        """
        count = mean = squares = np.zeros(())
        for values, valid in blocks:
            number = valid.sum(0)[:, None]
            known = np.maximum(count + number, 1)
            own = (values * valid[..., None]).sum(0) / np.maximum(number, 1)
            shift = own - mean
            between = shift**2 * (count * number / known)
            squares = squares + ((values - own) ** 2 * valid[..., None]).sum(0) + between
            mean = mean + shift * (number / known)
            count = count + number
        std = np.sqrt(squares / np.maximum(count, 1))
        return cls(mean.astype(np.float32), std.astype(np.float32), eps)

    @property
    def horizon(self) -> int:
        """Chunk length T."""
        return len(self.mean)

    @property
    def mask(self) -> np.ndarray:
        """(T, D) float32, 1 on used columns: the policy's action mask."""
        return (self.std > _ACTIVE_STD).astype(np.float32)

    def forward(self, values: np.ndarray) -> np.ndarray:
        """(..., t, D) physical -> normalised, for the first t <= T steps of a chunk."""
        steps = self._steps(values)
        used = self.std[:steps] > _ACTIVE_STD
        scale = np.where(used, self.std[:steps] + self.eps, 1)
        return np.where(used, (values - self.mean[:steps]) / scale, 0).astype(np.float32)

    def inverse(self, normalised: np.ndarray) -> np.ndarray:
        """(..., t, D) normalised -> physical."""
        steps = self._steps(normalised)
        scaled = normalised * (self.std[:steps] + self.eps) + self.mean[:steps]
        return scaled.astype(np.float32)

    def _steps(self, values: np.ndarray) -> int:
        if values.shape[-2] > self.horizon:
            raise TaktError(
                f"statistics cover {self.horizon} chunk steps, got {values.shape[-2]} actions"
            )
        return values.shape[-2]
