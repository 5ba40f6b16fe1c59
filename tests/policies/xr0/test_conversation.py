"""Conversations become the tokens that chat prompts start with, and what is spoken is marked."""

import numpy as np
import pytest
import torch

from takt.policies.xr0.chat import Chat
from takt.policies.xr0.conversation import dialogues
from takt.types import Conversation, TaktError, Turn

IMAGE = np.zeros((64, 64, 3), np.uint8)
TURNS = (Turn("Where is the red block?", "31,54"), Turn("How many?", "two, I think"))


def test_what_is_spoken_are_the_answers(model, tokenizer):
    talks = [
        Conversation(images=(IMAGE, IMAGE), turns=TURNS),
        Conversation(images=(IMAGE,), turns=TURNS[1:]),
    ]
    batch = dialogues(talks, model.config, tokenizer)
    for row, talk in enumerate(talks):
        said = tokenizer.decode(
            batch.inputs.input_ids[row][batch.spoken[row]].tolist(), skip_special_tokens=False
        )
        assert said == "".join(f"{turn.answer}<|im_end|>" for turn in talk.turns)


def test_a_conversation_starts_as_its_prompt_does(model, tokenizer):
    """Else a model would be trained on one template and asked with another."""
    batch = dialogues([Conversation(images=(IMAGE,), turns=TURNS)], model.config, tokenizer)
    prompt = Chat(model, tokenizer).prompt([IMAGE], TURNS[0].question)
    length = prompt.input_ids.shape[1]
    assert torch.equal(batch.inputs.input_ids[:, :length], prompt.input_ids)
    assert torch.equal(batch.inputs.position_ids[..., :length], prompt.position_ids)
    assert not batch.spoken[:, :length].any()
    assert batch.spoken[:, length].all()


@pytest.mark.parametrize(
    ("images", "turns", "says"),
    [
        ((), TURNS, "got 0 images"),
        ((IMAGE,), (), "0 turns"),
        ((IMAGE,), (Turn("Why?", " "),), "question and an answer"),
        ((IMAGE,), (Turn("<|image_pad|>?", "no"),), "template's own"),
        ((IMAGE,), (Turn("Why?", "<cot></cot> no<|im_end|>"),), "template's own"),
    ],
)
def test_what_is_no_conversation_is_refused(model, tokenizer, images, turns, says):
    with pytest.raises(TaktError, match=says):
        dialogues([Conversation(images=images, turns=turns)], model.config, tokenizer)
