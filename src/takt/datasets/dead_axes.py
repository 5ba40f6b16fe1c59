"""Axes that never move: normalising them divides by nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from takt.datasets.statistics import Statistics

DEAD_STD = 1e-5  # as `takt.transforms.normalise` tells used from unused columns


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadAxis:
    """An axis whose spread is no number to divide by."""

    column: str
    axis: str
    std: float
    q01: float
    q99: float

    def __str__(self) -> str:
        """Which axis, and why."""
        if self.std < DEAD_STD:
            reason = f"is always {self.q01:g} (std {self.std:.1e})"
        else:
            reason = f"hardly ever leaves {self.q01:g} (q01 = q99, std {self.std:.3g})"
        return f"{self.column} axis {self.axis!r} {reason}"


def dead_axes(column: str, axes: Sequence[str], statistics: Statistics) -> list[DeadAxis]:
    """The axes with std ~ 0 or q01 = q99; one without a name goes by its number."""
    found: list[DeadAxis] = []
    for number, (std, low, high) in enumerate(
        zip(statistics.std, statistics.q01, statistics.q99, strict=True)
    ):
        if std < DEAD_STD or low == high:
            name = axes[number] if number < len(axes) else str(number)
            numbers = {"std": float(std), "q01": float(low), "q99": float(high)}
            found.append(DeadAxis(column=column, axis=name, **numbers))
    return found
