"""A describer's answer is whole, or there is none."""

from typing import Any

import pytest

pytest.importorskip("torch")

from takt.policies.labelling.describer import ChatDescriber
from takt.policies.xr0.chat import Chat
from takt.policies.xr0.tokenizer import build_tokenizer


def test_our_own_models_unfinished_text_is_none():
    tokenizer = build_tokenizer()
    said = tokenizer.encode("A red cup.").ids

    class FakeChat(Chat):
        def __init__(self):
            pass

        def prompt(self, images, question) -> Any:
            return None

        def tokens(self, inputs, max_tokens, choice=None):
            return iter(said[:max_tokens])

    assert ChatDescriber(FakeChat(), tokenizer, len(said)).answer([], "What?") == "A red cup."
    assert ChatDescriber(FakeChat(), tokenizer, len(said) - 1).answer([], "What?") is None
