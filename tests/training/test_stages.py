"""What the stages' losses see, worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

EVERY = np.arange(24)
DRAWS, LONGEST = tiny.CONFIG.draws, tiny.MODEL.contract.max_prefix


@pytest.fixture
def batch(frames, batcher):
    """Every frame; the ends of both episodes are padded."""
    return tiny.batch(batcher, frames, EVERY, np.zeros(24, bool))


def still(seen):
    """A model that answers with no motion and remembers what it was asked."""

    def velocity(cache, state, noisy, tau, action_mask, prefix):
        seen.append((noisy, tau, prefix))
        return torch.zeros_like(noisy)

    return velocity


def test_asynchronous_training_gives_clean_prefixes_and_does_not_score_them(
    batch, batcher, monkeypatch
):
    stage, seen = tiny.stage("post", batcher), []
    monkeypatch.setattr(stage.policy, "velocity", still(seen))
    loss = stage.losses(batch, torch.Generator().manual_seed(0))["loss"]
    ((noisy, tau, prefix),) = seen
    actions = batch.actions.repeat_interleave(DRAWS, 0)
    valid = batch.valid.repeat_interleave(DRAWS, 0)
    assert set(prefix.tolist()) == set(range(LONGEST + 1))
    squares = []
    for row, clean in enumerate(prefix.tolist()):
        assert torch.equal(noisy[row, :clean], actions[row, :clean])
        gap = (actions[row] - noisy[row])[clean:]
        assert gap[:, list(tiny.BODY.slots)].abs().min() > 0
        target = gap / (1 - tau[row])  # noisy = (1 - tau) noise + tau action
        squares.append(target[valid[row, clean:]][:, list(tiny.BODY.slots)].flatten() ** 2)
    assert loss.item() == pytest.approx(torch.cat(squares).mean().item(), rel=1e-3)


def test_synchronous_training_gives_no_prefix(batch, frames, monkeypatch):
    contract = replace(tiny.MODEL.contract, max_prefix=0)
    config = replace(tiny.CONFIG, model=replace(tiny.MODEL, contract=contract))
    monkeypatch.setattr(tiny, "CONFIG", config)
    stage, seen = tiny.stage("post", tiny.batcher(frames)), []
    monkeypatch.setattr(stage.policy, "velocity", still(seen))
    stage.losses(batch, torch.Generator().manual_seed(0))
    assert seen[0][2].tolist() == [0] * 24 * DRAWS


def test_padded_steps_and_hidden_points_are_not_learnt(batch, batcher):
    stage = tiny.stage("choice", batcher)
    actions = torch.where(batch.valid[..., None], batch.actions, 50.0)
    hidden = torch.full_like(batch.points, 3.0)

    def losses(batch):
        found = stage.losses(batch, torch.Generator())
        return {name: value.item() for name, value in found.items()}

    assert losses(replace(batch, actions=actions)) == losses(batch)
    assert losses(replace(batch, points=hidden))["points"] == 0
    assert losses(replace(batch, actions=batch.actions + 1))["action"] != losses(batch)["action"]
