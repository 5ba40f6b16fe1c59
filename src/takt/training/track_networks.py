"""Trains the tracking task's networks: each from the same demonstrations, budget and seed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from takt.datasets.atomic import write_atomically
from takt.policies.track.checkpoint import load, serialise
from takt.policies.track.config import HORIZON, Network, TrackConfig
from takt.policies.track.correction import CorrectionHead
from takt.policies.track.model import TrackDiT
from takt.training.loop import LoopConfig, train_stage
from takt.training.metrics import StepReport
from takt.training.track import TrackFlow, WindowSource, fit_statistics
from takt.training.track_correction import TrackCorrection

Report = Callable[[StepReport], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackTraining:
    """A budget in updates, the same for every network; the head's comes on top of its network's.

    An update of Λ computes more than the others': its weights are of what it plans by now.
    """

    steps: int = 8000
    batch_size: int = 64
    lr: float = 3e-3
    head_steps: int = 1500

    def network_loop(self, seed: int) -> LoopConfig:
        """Of a network."""
        return _loop(self.steps, self, seed)

    def head_loop(self, seed: int) -> LoopConfig:
        """Of the correction head."""
        return _loop(self.head_steps, self, seed)


def _loop(steps: int, training: TrackTraining, seed: int) -> LoopConfig:
    return LoopConfig(
        steps=steps,
        batch_size=training.batch_size,
        lr=training.lr,
        warmup=min(100, max(1, steps // 10)),
        weight_decay=0.01,
        seed=seed,
    )


def windows(states: np.ndarray, actions: np.ndarray, slipped: np.ndarray) -> WindowSource:
    """Chunks of (E, tick, ...) demonstrations."""
    return WindowSource(states, actions, slipped, HORIZON)


def train_network(
    network: Network,
    source: WindowSource,
    training: TrackTraining,
    seed: int,
    path: Path,
    report: Report,
) -> None:
    """Write the network to `path`, going on from its state beside it; done already is done."""
    if path.exists():
        return
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model = TrackDiT(TrackConfig(network=network))
    fit_statistics(model, source, seed)
    loop = training.network_loop(seed)
    train_stage(TrackFlow(model), source, loop, path.with_suffix(""), report)
    write_atomically(path, serialise(model))


def train_head(
    base: Path, source: WindowSource, training: TrackTraining, seed: int, path: Path, report: Report
) -> None:
    """Write the correction head of the network in `base` to `path`, as `train_network` does."""
    if path.exists():
        return
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    stage = TrackCorrection(CorrectionHead(), load(base))
    train_stage(stage, source, training.head_loop(seed), path.with_suffix(""), report)
    write_atomically(path, stage.policy.serialise())
