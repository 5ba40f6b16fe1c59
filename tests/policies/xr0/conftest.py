"""One small random model with its checkpoint parts, shared by the XR-0 tests."""

import numpy as np
import pytest
import torch

from takt.embodiments import embodiment_spec
from takt.policies.xr0.checkpoint import BodyStatistics, Checkpoint
from takt.policies.xr0.model import XR0
from takt.policies.xr0.presets import nano
from takt.policies.xr0.processor import XR0Processor
from takt.policies.xr0.tokenizer import build_tokenizer
from takt.transforms.actions import fit_action_statistics
from takt.types import ActionChunk, Observation

HORIZON = 10


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def spec():
    return embodiment_spec("nut-station")


@pytest.fixture(scope="session")
def tokenizer():
    return build_tokenizer()


@pytest.fixture(scope="session")
def model():
    torch.manual_seed(0)
    return XR0(nano()).eval()


@pytest.fixture(scope="session")
def processor(model, tokenizer, spec):
    return XR0Processor(model.config, tokenizer, [camera.view for camera in spec.cameras])


@pytest.fixture(scope="session")
def prompts(processor, spec):
    """Two prompts of different length, padded on the right."""
    rng = np.random.default_rng(0)
    images = [
        rng.integers(0, 256, (2, camera.height, camera.width, 3), dtype=np.uint8)
        for camera in spec.cameras
    ]
    return processor(images, ["Install a nut on each pin.", "Fold the towel."])


@pytest.fixture(scope="session")
def checkpoint(model, tokenizer, spec):
    rng = np.random.default_rng(1)
    axes = len(spec.slots)
    state = rng.normal(0, 0.3, (64, axes)).astype(np.float32)
    walk = rng.normal(0, 0.02, (64, HORIZON, axes)).cumsum(1).astype(np.float32)
    eps = model.config.contract.decode_eps
    chunks = state[:, None] + walk, state, np.ones(walk.shape[:2], bool)
    action = fit_action_statistics([chunks], spec, model.config.action_dim, eps)
    body = BodyStatistics(action=action, state=None, execute_horizon=4)
    return Checkpoint(model=model, tokenizer=tokenizer, bodies={spec.name: body})


@pytest.fixture
def observation(spec):
    rng = np.random.default_rng(2)
    images = {
        camera.name: rng.integers(0, 256, (camera.height, camera.width, 3), dtype=np.uint8)
        for camera in spec.cameras
    }
    return Observation(
        stamp=2.0,
        images=images,
        image_stamps=dict.fromkeys(images, 2.0),
        state=np.full(len(spec.slots), 0.03, np.float32),
        instruction=spec.instruction,
    )


@pytest.fixture
def committed(spec, observation):
    """Eight actions whose third is due at the observation's stamp."""
    ramp = np.linspace(0.02, 0.05, 8, dtype=np.float32)[:, None]
    actions = np.repeat(ramp, len(spec.slots), axis=1)
    return ActionChunk(stamp=observation.stamp - 2 * spec.dt, dt=spec.dt, actions=actions)
