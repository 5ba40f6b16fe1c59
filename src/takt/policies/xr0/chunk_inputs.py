"""Whether the inputs of a chunk are what a model takes. Axes: B batch, T chunk step, D column."""

from collections.abc import Sequence

import torch
from torch import Tensor

from takt.policies.xr0.config import XR0Config
from takt.types import TaktError


class ChunkInputError(TaktError):
    """State, action mask, noise or prefix of a wrong shape, or not finite."""


def require_shapes(
    config: XR0Config,
    shape: tuple[int, int],
    state: Tensor,
    action_mask: Tensor,
    noise: Tensor,
    prefix: Tensor | None,
) -> None:
    """Raise a `ChunkInputError` unless all fit `shape`, (B, T), as `XR0.sample` describes them."""
    batch, horizon, width = *shape, config.action_dim
    rows = 1 if action_mask.shape[:1] == (1,) else batch
    expected: list[tuple[str, Tensor, tuple[int, ...]]] = [
        ("state", state, (batch, config.state_length, config.state_dim)),
        ("noise", noise, (batch, horizon, width)),
        ("action_mask", action_mask, (rows, horizon, width)),
    ]
    if prefix is not None:
        length = min(prefix.shape[1], horizon) if prefix.ndim == 3 else 0
        expected.append(("prefix", prefix, (batch, length, width)))
    for name, given, wanted in expected:
        if tuple(given.shape) != wanted:
            raise ChunkInputError(
                f"{name}: expected shape {wanted}, got {tuple(given.shape)}; "
                f"the prompt has {batch} rows, the chunk {horizon} steps"
            )


def clean_counts(batch: int, prefix: Tensor | None, lengths: Sequence[int] | None) -> list[int]:
    """How many actions each row begins with: all of its `prefix` unless `lengths` says less.

    Raises:
        ChunkInputError: Not one length for each row, or one that the prefix does not have.
    """
    longest = 0 if prefix is None else prefix.shape[1]
    if lengths is None:
        return [longest] * batch
    if len(lengths) != batch or not all(0 <= length <= longest for length in lengths):
        raise ChunkInputError(
            f"lengths: expected {batch} from 0 to {longest}, the prefix's, got {list(lengths)}"
        )
    return list(lengths)


def require_finite(**inputs: Tensor | None) -> None:
    """Raise a `ChunkInputError` that names the first input with a NaN or an infinity."""
    for name, given in inputs.items():
        if given is not None and not torch.isfinite(given).all():
            raise ChunkInputError(
                f"{name}: expected finite numbers, got NaN or infinity; "
                "refusing to plan from it: check the sensor or the statistics"
            )


def require_steps(steps: int | None, config: XR0Config) -> int:
    """Euler steps that were asked for, or the config's."""
    if steps is None:
        return config.flow_steps
    if steps < 1:
        raise ChunkInputError(f"expected at least 1 flow step, got {steps}")
    return steps
