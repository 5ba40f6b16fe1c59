from pathlib import Path

import numpy as np
import pytest
import torch

from takt.policies.track.config import NETWORKS, TrackConfig
from takt.policies.track.correction import CorrectionHead
from takt.policies.track.model import TrackDiT
from takt.policies.xr0.config import DiTConfig
from takt.training.loop import LoopConfig, train_stage
from takt.training.track import TrackFlow, WindowSource, fit_statistics
from takt.training.track_correction import TrackCorrection

DIT = DiTConfig(hidden_size=16, num_hidden_layers=1, head_dim=8, mlp_ratio=2)


def source() -> WindowSource:
    ticks = np.arange(40, dtype=np.float32)
    place = np.stack([0.02 * ticks, np.sin(0.1 * ticks)], axis=-1)
    states = np.concatenate([place, np.zeros((40, 6), np.float32)], axis=-1)[None]
    kicked = np.zeros((1, 40), bool)
    kicked[0, 30] = True
    return WindowSource(states.astype(np.float32), place[None].astype(np.float32), kicked, 12)


def test_a_slip_is_learnt_from_but_not_imitated():
    drawn = source().draw(64, torch.Generator().manual_seed(0))
    first = torch.round(drawn.states[:, 0, 0] / 0.02).int()
    free, behind = drawn.valid(torch.zeros(64).long()), drawn.valid(torch.full((64,), 4))
    for start, alone, prefixed in zip(first.tolist(), free, behind, strict=True):
        slip = 30 - start  # its place in the window
        ticks = np.arange(12)
        np.testing.assert_array_equal(alone.numpy(), (ticks < slip) | (slip < 0))
        np.testing.assert_array_equal(prefixed.numpy()[4:], ((ticks < slip) | (slip < 4))[4:])


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


def test_the_head_learns_to_mend_a_network_that_knows_nothing(tmp_path: Path):
    torch.manual_seed(0)
    base = TrackDiT(TrackConfig(network="plain", dit=DIT, horizon=12)).eval()
    fit_statistics(base, source(), 0, 200)
    losses = []
    config = LoopConfig(steps=60, batch_size=16, lr=1e-2, warmup=2)
    stage = TrackCorrection(CorrectionHead(), base)
    train_stage(stage, source(), config, tmp_path, lambda r: losses.append(r.losses["loss"]))
    assert losses[-1] < 0.7 * losses[0]
