from dataclasses import replace

import pytest
import tiny
import torch

from takt.policies.xr0.tokenizer import build_tokenizer
from takt.training.frame_questions import FrameQuestions
from takt.training.mixture import CoTraining, Mixture
from takt.training.vision_language import Conversations


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def frames():
    return tiny.frames()


@pytest.fixture(scope="session")
def batcher(frames):
    return tiny.batcher(frames)


@pytest.fixture(scope="session")
def mixture(frames, batcher):
    """Two bodies' frames, and a conversation beside every two of them."""
    other = tiny.batcher(frames, body=replace(tiny.BODY, slots=(2, 5, 8, 0), mirror=None))
    questions = FrameQuestions([frames], ("cup", "plate"))
    talk = Conversations(questions, tiny.MODEL, build_tokenizer())
    return CoTraining(Mixture([batcher, other], [1.0, 2.0]), talk, 2)
