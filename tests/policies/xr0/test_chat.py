"""The chat against transformers' own Qwen3-VL with the same weights."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from takt.policies.xr0.chat import Chat, ChatError, Sampled, chat_text, stream_text
from takt.policies.xr0.checkpoint import save_checkpoint
from takt.policies.xr0.memory import NotEnoughMemoryError
from takt.policies.xr0.model import XR0
from takt.policies.xr0.presets import nano
from takt.policies.xr0.released_config import text_json, vision_json
from takt.types import TaktError

LENGTH = 12


@pytest.fixture(scope="module")
def talker(tokenizer):
    """Random weights wide enough apart that greedy answers vary from step to step."""
    torch.manual_seed(3)
    config = replace(nano(), initializer_range=0.3)
    model = XR0(config).eval()
    return model, Chat(model, tokenizer)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((48, 80), (64, 64))]


def reference(model):
    """Transformers' model over the very same tensors."""
    config = model.config
    theirs = Qwen3VLForConditionalGeneration(
        Qwen3VLConfig(
            text_config=text_json(config),
            vision_config=vision_json(config),
            image_token_id=config.token_ids.image,
            video_token_id=config.token_ids.video,
            vision_start_token_id=config.token_ids.vision_start,
            vision_end_token_id=config.token_ids.vision_end,
            tie_word_embeddings=True,
        )
    ).eval()
    theirs.model.load_state_dict(model.vlm.model.state_dict())
    theirs.tie_weights()
    return theirs


def test_greedy_answer_is_that_of_transformers(talker, images):
    model, chat = talker
    inputs = chat.prompt(images, "What do you see?")
    with torch.no_grad():
        answer = reference(model).generate(  # pyright: ignore[reportAttributeAccessIssue]
            input_ids=inputs.input_ids,
            attention_mask=torch.ones_like(inputs.input_ids),
            mm_token_type_ids=(inputs.input_ids == model.config.token_ids.image).int(),
            pixel_values=inputs.pixel_values,
            image_grid_thw=inputs.image_grid_thw,
            max_new_tokens=LENGTH,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
    expected = answer[0, inputs.input_ids.shape[1] :].tolist()
    ours = list(chat.tokens(inputs, LENGTH))
    assert len(set(ours)) > 3
    assert ours == expected


def test_template_puts_images_before_the_question(talker, images):
    assert chat_text("why?", (1, 2)) == (
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>"
        "<|vision_start|><|image_pad|><|image_pad|><|vision_end|>why?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    _, chat = talker
    inputs = chat.prompt(images, "why?")
    assert inputs.image_grid_thw.tolist() == [[1, 6, 10], [1, 8, 8]]


def test_an_answer_ends_at_a_stop_which_is_not_part_of_it(talker, images, tokenizer):
    model, chat = talker
    inputs = chat.prompt(images, "What do you see?")
    whole = list(chat.tokens(inputs, LENGTH))
    stop = next(token for token in whole[1:] if tokenizer.id_to_token(token))
    short = Chat(model, tokenizer, stops=[tokenizer.id_to_token(stop)])
    assert list(short.tokens(inputs, LENGTH)) == whole[: whole.index(stop)]


def test_a_seed_fixes_the_answer(talker, images):
    _, chat = talker
    inputs = chat.prompt(images[1:], "Describe.")

    def drawn(seed, temperature=2.0):
        return list(chat.tokens(inputs, 8, Sampled(temperature=temperature, seed=seed)))

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert drawn(1, temperature=1e-6) == list(chat.tokens(inputs, 8))


def test_text_arrives_in_whole_characters(tokenizer):
    text = "Nut 🔩 fällt, 螺母"
    ids = tokenizer.encode(text).ids
    pieces = list(stream_text(ids, tokenizer))
    assert "".join(pieces) == text
    assert 3 < len(pieces) < len(ids)  # a four-byte character waits for its last byte
    assert "\ufffd" not in "".join(pieces)
    assert "".join(stream_text(ids[:6], tokenizer)) == tokenizer.decode(ids[:6])


def test_a_loaded_chat_says_the_same(talker, checkpoint, images, tmp_path):
    model, chat = talker
    save_checkpoint(tmp_path, replace(checkpoint, model=model))
    again = Chat.load(tmp_path)
    question = "What now?"
    said = "".join(chat.answer(chat.prompt(images, question), 6))
    assert said == "".join(again.answer(again.prompt(images, question), 6))
    config = json.loads((tmp_path / "config.json").read_text())
    del config["takt"]  # as in released files, which name no contract
    (tmp_path / "config.json").write_text(json.dumps(config))
    released = Chat.load(tmp_path)
    assert said == "".join(released.answer(released.prompt(images, question), 6))


def test_what_cannot_be_asked_is_named(talker, images):
    _, chat = talker
    with pytest.raises(TaktError, match="no image slot"):
        chat.prompt([], "what?")
    for question in ("", " \n"):
        with pytest.raises(ChatError, match="empty"):
            chat.prompt(images, question)
    with pytest.raises(TaktError, match="image tokens"):
        chat.prompt(images, "what is <|image_pad|>?")
    with pytest.raises(TaktError, match="uint8"):
        chat.prompt([images[0].astype(np.float32) / 255], "what?")
    inputs = chat.prompt(images, "what?")
    for count in (0, 5000):
        with pytest.raises(ChatError, match="tokens of answer"):
            next(chat.tokens(inputs, count))
    for temperature in (0.0, -1.0, float("nan")):
        with pytest.raises(ChatError, match="temperature"):
            Sampled(temperature=temperature, seed=0)
    for seed in (-1, 2**64):
        with pytest.raises(ChatError, match="seed"):
            Sampled(temperature=1.0, seed=seed)


def test_a_shortage_of_memory_is_named(talker, images, monkeypatch):
    model, chat = talker
    inputs = chat.prompt(images, "What do you see?")

    def refuse(*args, **kwargs):
        raise RuntimeError("can't allocate memory: you tried to allocate 8 bytes")

    monkeypatch.setattr(model, "run_language", refuse)
    with pytest.raises(NotEnoughMemoryError, match="prompt tokens"):
        list(chat.tokens(inputs, 3))
