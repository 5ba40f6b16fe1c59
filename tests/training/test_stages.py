"""What the stages' losses see, worked out by hand."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import numpy as np
import pytest
import tiny
import torch

from takt.training.flow_draws import draw
from takt.training.flow_objective import (
    RELEASED,
    FlowObjective,
    FrequencyLoss,
    OnlineError,
    PaperPrefix,
    ReleasedPrefix,
)
from takt.training.flow_training import FlowTraining
from takt.training.shards import WHOLE, Shard

EVERY = np.arange(24)
DRAWS, LONGEST = tiny.CONFIG.draws, tiny.MODEL.contract.max_prefix


@pytest.fixture
def batch(frames, batcher):
    """Every frame; the ends of both episodes are padded."""
    return tiny.batch(batcher, frames, EVERY, np.zeros(24, bool))


def still(seen):
    """A model that answers with no motion and remembers what it was asked."""

    def velocity(cache, state, noisy, tau, action_mask, prefix, hidden):
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
    monkeypatch.setattr(tiny, "MODEL", replace(tiny.MODEL, contract=contract))
    stage, seen = tiny.stage("post", tiny.batcher(frames)), []
    monkeypatch.setattr(stage.policy, "velocity", still(seen))
    stage.losses(batch, torch.Generator().manual_seed(0))
    assert seen[0][2].tolist() == [0] * 24 * DRAWS


@pytest.mark.parametrize(
    ("name", "loss", "norms"),
    [("expert", 2.2490213, 1.9622555), ("post", 2.2490213, 2.5439429)],
)
def test_the_stations_objective_keeps_its_numbers(batch, batcher, name, loss, norms):
    """Norms are summed over parameters."""
    stage = tiny.stage(name, batcher)
    found = stage.losses(batch, torch.Generator().manual_seed(0))
    assert list(found) == ["loss"]
    found["loss"].backward()
    gradients = [p.grad.norm().item() for p in stage.trainable() if p.grad is not None]
    assert found["loss"].item() == pytest.approx(loss, rel=1e-5)
    assert sum(gradients) == pytest.approx(norms, rel=1e-4)


def released(batcher, objective=RELEASED):
    """The released objective around the post stage's policy."""
    policy = tiny.stage("post", batcher).policy
    return FlowTraining(policy, draws=DRAWS, objective=objective)


def test_the_online_error_weighs_prefixed_samples_only(batch, batcher):
    """By hand: the rollout from the same noise, weights of mean one, clamped."""
    objective = FlowObjective(weight=OnlineError(), prefix=PaperPrefix())
    stage = released(batcher, objective)
    actions = batch.actions.repeat_interleave(DRAWS, 0)
    draws = draw(objective, LONGEST, actions, torch.Generator().manual_seed(3))
    terms = stage.terms(batch, draws)
    length = draws.prefix_length
    assert set(length.tolist()) == {0, 1, 2}
    assert terms.raw_weight[length == 0].eq(1).all()
    policy, cache = stage.policy, stage.policy.encode(batch.inputs).repeat(DRAWS)
    rows, state = length == 2, batch.state.repeat_interleave(DRAWS, 0)
    with torch.no_grad():
        chunk = policy.sample(
            cache, state, batcher.action_mask, draws.noise, actions[:, :2], len(terms.rollout)
        )
    expected = (chunk - actions).abs()[rows]
    torch.testing.assert_close(terms.raw_weight[rows], expected, atol=1e-5, rtol=0)
    seen = terms.mask * (length > 0)[:, None, None] > 0
    weight = torch.where(seen, terms.raw_weight / terms.raw_weight[seen].mean(), 1).clamp(0.5, 5)
    error = (weight * (terms.velocity - terms.target) ** 2)[terms.mask > 0]
    assert terms.loss.item() == pytest.approx(error.mean().item(), rel=1e-5)


def test_the_released_objective_adds_its_parts(batch, batcher):
    found = released(batcher).losses(batch, torch.Generator().manual_seed(1))
    total = 0.5 * found["mse"] + found["frequency"]
    assert found["loss"].item() == pytest.approx(total.item())
    found["loss"].backward()


class Together(Shard):
    """A rank that is a thread: the parts meet in memory."""

    meeting: Barrier
    parts: list[torch.Tensor]

    def __init__(self, index, meeting, parts):
        super().__init__(index, len(parts))
        object.__setattr__(self, "meeting", meeting)
        object.__setattr__(self, "parts", parts)

    def total(self, part: torch.Tensor) -> torch.Tensor:
        self.parts[self.index] = part.detach()
        self.meeting.wait()
        total = torch.stack(self.parts).sum(0)
        self.meeting.wait()
        return total


def test_a_batch_in_two_parts_is_the_same_batch(frames, batcher):
    """Weights and spectra are normalised over the whole batch, whichever rank holds a prefix."""
    objective = replace(RELEASED, prefix=ReleasedPrefix(each="sample"))
    stage = released(batcher, replace(objective, frequency=FrequencyLoss(columns="active")))
    rows = np.arange(8, 20)

    def losses(shard):
        part = rows[shard.rows(len(rows))]
        drawn = tiny.batch(batcher, frames, part, np.zeros(len(part), bool))
        found = stage.losses(replace(drawn, shard=shard), torch.Generator().manual_seed(5))
        return torch.stack([found[name].detach() for name in ("loss", "mse", "frequency")])

    meeting, parts = Barrier(2, timeout=30), [None, None]
    with ThreadPoolExecutor(2) as pool:
        halves = list(pool.map(losses, [Together(index, meeting, parts) for index in range(2)]))
    torch.testing.assert_close(sum(halves) / 2, losses(WHOLE), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(*halves, rtol=1e-2)


def test_nothing_to_act_on_is_nothing_to_learn(batch, batcher):
    stage = released(batcher)
    nothing = replace(batch, action_mask=torch.zeros_like(batch.action_mask))
    losses = stage.losses(nothing, torch.Generator().manual_seed(1))
    assert {name: value.item() for name, value in losses.items()} == dict.fromkeys(losses, 0.0)
    losses["loss"].backward()
    assert all(p.grad is None or not p.grad.any() for p in stage.trainable())


def test_the_frequency_loss_may_look_at_live_columns_only(batch, batcher):
    """Released, dimensions that the body lacks count; `active` mends it."""
    live = replace(RELEASED, frequency=FrequencyLoss(columns="active"))
    found = [
        released(batcher, objective).losses(batch, torch.Generator().manual_seed(1))["frequency"]
        for objective in (RELEASED, live)
    ]
    assert found[0].item() != pytest.approx(found[1].item(), rel=0.05)


def test_frozen_text_embeddings_are_the_only_thing_left_out(batcher):
    policy = tiny.stage("post", batcher).policy
    stage = FlowTraining(policy, draws=1, frozen="text_embeddings", objective=RELEASED)
    left_out = {id(p) for p in policy.parameters()} - {id(p) for p in stage.trainable()}
    assert left_out == {id(policy.vlm.model.language_model.embed_tokens.weight)}


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
