"""Next-token training: the loss by hand, any number of ranks, words beside actions."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from torch.nn import functional

from takt.datasets.vision_language_row import Row
from takt.datasets.vision_language_set import RowError
from takt.datasets.vision_language_writer import encode_image, write_rows
from takt.policies.xr0.checkpoint import Checkpoint
from takt.policies.xr0.conversation import Dialogues, dialogues
from takt.policies.xr0.model import XR0
from takt.policies.xr0.tokenizer import build_tokenizer
from takt.training.loop import train_stage
from takt.training.mixture import CoTraining
from takt.training.shards import Shard
from takt.training.vision_language import (
    Conversations,
    VisionLanguage,
    next_token_errors,
    open_conversations,
)
from takt.types import Conversation, Turn

TOKENIZER = build_tokenizer()
COLOURS = ("red", "blue")


def talk(rng: np.random.Generator) -> Conversation:
    """A picture of one shade, whose name is asked for; a second turn makes it longer or not."""
    shade = int(rng.integers(2))
    image = np.full((tiny.PX, tiny.PX, 3), 250 * shade, np.uint8)
    turns = (Turn("What colour?", COLOURS[shade]),)
    return Conversation(images=(image,), turns=turns * int(rng.integers(1, 3)))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return XR0(tiny.MODEL)


def by_hand(model: XR0, conversation: Conversation) -> list[float]:
    """-log p of each spoken token, from a pass over each conversation's beginning alone."""
    whole = dialogues([conversation], model.config, TOKENIZER)
    ids, errors = whole.inputs.input_ids, []
    for end in whole.spoken[0].nonzero().squeeze(1).tolist():
        start = replace(
            whole.inputs,
            input_ids=ids[:, :end],
            position_ids=whole.inputs.position_ids[..., :end],
        )
        hidden = model.run_language(start, tail=1).hidden
        assert hidden is not None
        logits = hidden[0, -1] @ model.vlm.model.language_model.embed_tokens.weight.T
        errors.append(-functional.log_softmax(logits, 0)[ids[0, end]].item())
    return errors


def test_the_loss_is_that_of_every_answers_token_given_what_came_before(model):
    talks = [talk(np.random.default_rng(seed)) for seed in range(4)]
    assert len({len(each.turns) for each in talks}) == 2  # so that some are padded
    batch: Dialogues = dialogues(talks, model.config, TOKENIZER)
    with torch.no_grad():
        found = next_token_errors(model, batch)
        for row, each in enumerate(talks):
            expected = torch.tensor(by_hand(model, each))
            torch.testing.assert_close(found[row][batch.spoken[row]], expected)
    assert not found[~batch.spoken].any()


def test_ranks_share_one_draw():
    source = Conversations(talk, tiny.MODEL, TOKENIZER)
    draws = [
        source.draw(5, torch.Generator().manual_seed(3), shard).dialogues.inputs.pixel_values
        for shard in (Shard(), Shard(0, 2), Shard(1, 2))
    ]
    assert torch.equal(draws[0], torch.cat(draws[1:]))


@pytest.mark.parametrize("count", [2, 4, 8, 16])
def test_any_ranks_that_divide_the_frames_get_conversations(batcher, count):
    source = CoTraining(batcher, Conversations(talk, tiny.MODEL, TOKENIZER), 6)
    for index in (0, count - 1):
        batch = source.draw(64, torch.Generator().manual_seed(0), Shard(index, count))
        assert batch.conversations is not None
        assert len(batch.conversations.dialogues.spoken) >= 1


def test_the_vlm_learns_to_answer(model, tmp_path):
    stage, source = VisionLanguage(model), Conversations(talk, tiny.MODEL, TOKENIZER)
    loop = replace(tiny.LOOP, steps=40, batch_size=8, lr=3e-3, save_every_s=60.0)
    batch = source.draw(16, torch.Generator().manual_seed(9))
    before = stage.losses(batch, torch.Generator())["loss"].item()
    train_stage(stage, source, loop, tmp_path / "words", lambda report: None)
    after = stage.losses(batch, torch.Generator())
    assert after["loss"].item() < 0.5 * before


@pytest.mark.parametrize("name", ["choice", "post"])
def test_words_are_learnt_beside_actions(batcher, name):
    source = Conversations(talk, tiny.MODEL, TOKENIZER)
    batch = CoTraining(batcher, source, 6).draw(24, torch.Generator().manual_seed(0))
    assert batch.conversations is not None
    assert len(batch.conversations.dialogues.spoken) == 4
    stage = tiny.stage(name, batcher)
    losses = stage.losses(batch, torch.Generator().manual_seed(1))
    alone = stage.losses(replace(batch, conversations=None), torch.Generator().manual_seed(1))
    assert losses["loss"].item() == pytest.approx(alone["loss"].item() + losses["words"].item())
    assert losses["frames"].item() == pytest.approx(alone["loss"].item())


def test_a_row_with_an_image_that_no_policy_looks_at_is_named_or_left_out(model, tmp_path):
    sides = {"narrow": (2, 500), "whole": (32, 32)}
    rows = [
        Row(
            id=name,
            images=(encode_image(np.zeros((*size, 3), np.uint8)),),
            turns=(Turn("What?", name),),
        )
        for name, size in sides.items()
    ]
    path = tmp_path / "set.jsonl"
    write_rows(path, rows)
    start = Checkpoint(model=model, tokenizer=TOKENIZER, bodies={})
    found = open_conversations([path], start, skip_bad=True)
    assert found is not None
    with pytest.raises(RowError, match=r"set.jsonl: row 1: .*1:200, got 2 x 500"):
        _ = found[0]
    rng = np.random.default_rng(0)
    assert {found.draw(rng).turns[0].answer for _ in range(9)} == {"whole"}
    assert list(found.skipped) == [0]
