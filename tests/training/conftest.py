import pytest
import tiny
import torch


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def frames():
    return tiny.frames()


@pytest.fixture(scope="session")
def batcher(frames):
    return tiny.batcher(frames)
