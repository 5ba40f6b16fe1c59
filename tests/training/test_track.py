from pathlib import Path

import numpy as np
import pytest
import torch

from takt.policies.track.config import NETWORKS, TrackConfig
from takt.policies.track.model import TrackDiT
from takt.policies.xr0.config import DiTConfig
from takt.training.loop import LoopConfig, train_stage
from takt.training.track import TrackFlow, WindowSource, fit_statistics

DIT = DiTConfig(hidden_size=16, num_hidden_layers=1, head_dim=8, mlp_ratio=2)


def source() -> WindowSource:
    ticks = np.arange(40, dtype=np.float32)
    place = np.stack([0.02 * ticks, np.sin(0.1 * ticks)], axis=-1)
    states = np.concatenate([place, np.zeros((40, 6), np.float32)], axis=-1)[None]
    kicked = np.zeros((1, 40), bool)
    kicked[0, 30] = True
    return WindowSource(states.astype(np.float32), place[None].astype(np.float32), kicked, 12)


def test_what_chance_did_is_not_learnt():
    drawn = source().draw(64, torch.Generator().manual_seed(0))
    first = torch.round(drawn.states[:, 0, 0] / 0.02)
    for start, valid in zip(first.tolist(), drawn.valid, strict=True):
        ticks = start + np.arange(12)
        np.testing.assert_array_equal(valid.numpy(), (ticks < 30) | (start >= 30))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_learns_and_resumes(name, tmp_path: Path):
    torch.manual_seed(0)
    model = TrackDiT(TrackConfig(network=name, dit=DIT, horizon=12))
    fit_statistics(model, source(), 0, 200)
    losses = []
    for steps in (10, 40):  # the second goes on from the first one's state
        config = LoopConfig(steps=steps, batch_size=16, lr=5e-3, warmup=2)
        train_stage(TrackFlow(model), source(), config, tmp_path, lambda r: losses.append(r.losses))
    assert len(losses) == 40
    assert losses[-1]["loss"] < losses[0]["loss"]
