"""Body axes in a policy's wider vector."""

from dataclasses import dataclass

import numpy as np

from takt.types import TaktError


@dataclass(frozen=True, slots=True)
class Slots:
    """Body axis k lives in policy column `columns[k]` of `width`; other columns hold 0."""

    columns: tuple[int, ...]
    width: int

    def __post_init__(self) -> None:
        """Columns are distinct and inside the vector."""
        inside = all(0 <= column < self.width for column in self.columns)
        if not inside or len(set(self.columns)) != len(self.columns):
            raise TaktError(
                f"slots must be distinct columns in 0..{self.width - 1}, got {self.columns}"
            )

    def forward(self, values: np.ndarray) -> np.ndarray:
        """(..., A) -> (..., width)."""
        wide = np.zeros((*values.shape[:-1], self.width), values.dtype)
        wide[..., self.columns] = values
        return wide

    def inverse(self, wide: np.ndarray) -> np.ndarray:
        """(..., width) -> (..., A)."""
        return wide[..., self.columns]
