"""A policy server for the fake station's body, and an openpi request to it."""

from collections.abc import Callable
from typing import Any

import numpy as np
from fakes import SPEC, FakePolicy, FakeStation

from takt.runtime.server.policy_server import MAX_MESSAGE_BYTES, PolicyServer
from takt.runtime.server.replies import ServerFacts
from takt.runtime.server.scheduler import OnePerRobot, Policies
from takt.types import Policy

FACTS = ServerFacts(
    policy="fake",
    embodiment=SPEC.name,
    rate_hz=SPEC.rate_hz,
    cameras=tuple(camera.name for camera in SPEC.cameras),
    state=SPEC.state_names,
    actions=SPEC.action_space.names,
    max_message_bytes=MAX_MESSAGE_BYTES,
    horizon=16,
)


def serve(policy: Callable[[], Policy] | Policies = FakePolicy, **options: Any) -> PolicyServer:
    policies = policy if not callable(policy) else OnePerRobot(factory=policy, robots=2)
    return PolicyServer(policies, FACTS, SPEC, **options)


def openpi_observation() -> dict[str, Any]:
    seen = FakeStation().observe()
    images = {f"observation/images/{name}": image for name, image in seen.images.items()}
    return images | {"observation/state": seen.state, "prompt": "fit a nut"}


def wide(value: float) -> np.ndarray:
    return np.full(len(SPEC.state_names), value, np.float32)
