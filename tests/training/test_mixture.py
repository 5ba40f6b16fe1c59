"""Batches of one body each with conversations beside them, on one rank or several."""

import pytest
import torch

from takt.training.shards import WHOLE, Shard


@pytest.fixture
def draw(mixture):
    def draw(size, seed, shard=WHOLE):
        return mixture.draw(size, torch.Generator().manual_seed(seed), shard)

    return draw


@pytest.mark.parametrize("seed", range(4))
def test_ranks_draw_their_parts_of_one_batch(draw, seed):
    whole = draw(8, seed)
    parts = [draw(8, seed, Shard(index, 2)) for index in range(2)]
    for name in ("state", "actions", "valid"):
        together = torch.cat([getattr(part, name) for part in parts])
        assert torch.equal(together, getattr(whole, name))
    assert all(torch.equal(part.action_mask, whole.action_mask) for part in parts)
    prompts = [len(part.conversations.dialogues.spoken) for part in (whole, *parts)]
    assert prompts == [4, 2, 2]


def test_a_batch_is_of_one_body_and_all_bodies_come(draw):
    masks = [draw(2, seed).action_mask for seed in range(8)]
    assert {tuple(mask.shape) for mask in masks} == {(1, *masks[0].shape[1:])}
    assert len({tuple(mask[0, 0].nonzero().flatten().tolist()) for mask in masks}) == 2


def test_every_rank_has_a_conversation(draw):
    parts = [draw(4, 0, Shard(index, 4)).conversations for index in range(4)]
    assert [len(part.dialogues.spoken) for part in parts] == [1] * 4
