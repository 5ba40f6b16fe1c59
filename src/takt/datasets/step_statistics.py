"""Statistics of actions by their step in a chunk, as a policy normalises them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from beartype import beartype
from jaxtyping import Float64, jaxtyped

from takt.datasets.episode_table import EpisodeTable
from takt.types import TaktError


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, slots=True, kw_only=True)
class StepStatistics:
    """Row k: over every action that lies k ticks after some frame of its episode.

    Steps past an episode's end do not count. Population `std`, exact quantiles, the axes' units.
    """

    mean: Float64[np.ndarray, "step axis"]
    std: Float64[np.ndarray, "step axis"]
    q01: Float64[np.ndarray, "step axis"]
    q99: Float64[np.ndarray, "step axis"]

    def to_json(self) -> dict[str, list[list[float]]]:
        """Plain numbers by name."""
        return {name: getattr(self, name).tolist() for name in ("mean", "std", "q01", "q99")}


def step_statistics(
    tables: Sequence[EpisodeTable], horizon: int, *, relative: bool
) -> StepStatistics:
    """Of the chunks of `horizon` actions that begin at every frame.

    Args:
        tables: Episodes of one body.
        horizon: Actions per chunk T.
        relative: Subtract the state at the chunk's first frame; state and action then have the
            same axes.

    Raises:
        TaktError: no episode is as long as a chunk.
    """
    longest = max((len(table.stamps) for table in tables), default=0)
    if not 1 <= horizon <= longest:
        raise TaktError(
            f"expected a horizon of 1 to {longest} steps, the longest episode; got {horizon}"
        )
    steps: list[tuple[np.ndarray, ...]] = []
    for step in range(horizon):
        parts = [
            table.actions[step:] - (table.state[: len(table.state) - step] if relative else 0)
            for table in tables
            if len(table.stamps) > step
        ]
        rows = np.concatenate(parts).astype(np.float64)
        low, high = np.quantile(rows, (0.01, 0.99), axis=0)
        steps.append((rows.mean(0), rows.std(0), low, high))
    mean, std, low, high = (np.stack(part) for part in zip(*steps, strict=True))
    return StepStatistics(mean=mean, std=std, q01=low, q99=high)
