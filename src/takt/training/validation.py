"""Held-out frames: the losses, and what the policy plans beside what was done (open loop)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from takt.policies.xr0.model import XR0
from takt.training.batches import Batch, Batcher
from takt.training.frames import Frames
from takt.training.stage import Stage
from takt.transforms.actions import ActionTransform
from takt.types import EmbodimentSpec

BATCH = 32  # frames at once
LIMIT = 256  # frames, evenly spread


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLoopError:
    """Mean absolute errors of whole chunks from noise, without a committed prefix.

    Attributes:
        frames: How many chunks were planned.
        by_axis: (T, A) in the body's units; nan where no frame has so many steps left.
        by_step: (T,) mean over the axes, each in standard deviations of its actions in training.
        mean_action: (T,) the same for a policy that always answers the mean of the training data.
    """

    frames: int
    by_axis: np.ndarray
    by_step: np.ndarray
    mean_action: np.ndarray

    def to_json(self, spec: EmbodimentSpec) -> dict[str, Any]:
        """By the body's axes; null for nan."""
        return {
            "frames": self.frames,
            "axes": list(spec.action_space.names),
            "units": list(spec.action_space.units),
            "error_by_step_and_axis": [numbers(row) for row in self.by_axis],
            "error_by_step_std": numbers(self.by_step),
            "mean_action_error_by_step_std": numbers(self.mean_action),
        }


@torch.no_grad()
def held_out_losses(
    stage: Stage[Batch],
    batcher: Batcher,
    frames: Frames,
    *,
    batch: int = BATCH,
    limit: int = LIMIT,
    seed: int = 0,
) -> dict[str, float]:
    """The stage's losses on frames alone, as they are; draws depend on `seed` and `batch` only."""
    generator = torch.Generator().manual_seed(seed)
    place, horizon = stage.policy.sink.weight.device, batcher.action_mask.shape[1]
    sums: dict[str, float] = {}
    count = 0
    for rows in _batches(frames, limit, batch):
        shown = batcher.batch(frames.take(rows, horizon), np.zeros(len(rows), bool)).to(place)
        count += len(rows)
        for name, value in stage.losses(shown, generator).items():
            sums[name] = sums.get(name, 0.0) + len(rows) * value.item()
    return {name: total / count for name, total in sums.items()}


@torch.no_grad()
def open_loop_error(
    model: XR0,
    batcher: Batcher,
    frames: Frames,
    actions: ActionTransform,
    *,
    batch: int = BATCH,
    limit: int = LIMIT,
    seed: int = 0,
) -> OpenLoopError:
    """Plan from at most `limit` frames, evenly spread, `batch` at once.

    The noise depends on `seed` and `batch` only.
    """
    horizon, generator = actions.normalise.horizon, torch.Generator().manual_seed(seed)
    place = model.sink.weight.device
    errors, baseline, valid = [], [], []
    for rows in _batches(frames, limit, batch):
        samples = frames.take(rows, horizon)
        shown = batcher.batch(samples, np.zeros(len(samples.state), bool)).to(place)
        noise = torch.randn(shown.actions.shape, generator=generator).to(place)
        mask = batcher.action_mask.to(place)
        chunk = model.sample(shown.inputs, shown.state, mask, noise).float().cpu().numpy()
        for found, plan in ((errors, chunk), (baseline, np.zeros_like(chunk))):
            found.append(np.abs(actions.inverse(plan, samples.state) - samples.actions))
        valid.append(samples.valid)
    deviation = actions.slots.inverse(actions.normalise.std)  # (T, A)
    seen = np.concatenate(valid)
    ours, mean = (_mean(np.concatenate(found), seen) for found in (errors, baseline))
    return OpenLoopError(
        frames=len(seen),
        by_axis=ours,
        by_step=_scaled(ours, deviation),
        mean_action=_scaled(mean, deviation),
    )


def _batches(frames: Frames, limit: int, size: int) -> Iterator[np.ndarray]:
    """Rows of at most `limit` frames, `size` at a time."""
    count = min(limit, len(frames))
    rows = np.linspace(0, len(frames) - 1, count).round().astype(int)
    for first in range(0, count, size):
        yield rows[first : first + size]


def _mean(errors: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """(T, A) mean of (N, T, A) over the frames whose (N, T) step is valid."""
    count = valid.sum(0)[:, None]
    total = np.where(valid[..., None], errors, 0).sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _scaled(errors: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    moving = deviation > 0
    scaled = np.where(moving, errors / np.where(moving, deviation, 1), 0)
    return scaled.sum(1) / np.maximum(moving.sum(1), 1)


def numbers(values: np.ndarray) -> list[float | None]:
    """None for nan and infinity."""
    return [float(value) if np.isfinite(value) else None for value in values]
