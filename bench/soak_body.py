"""The soak's body, policy and server: small, fast, and easy to break from outside."""

import threading
import time
from collections.abc import Mapping

import numpy as np

from takt.embodiments.driver import Camera, Frame, JointSample
from takt.runtime.server.policy_server import MAX_MESSAGE_BYTES, PolicyServer
from takt.runtime.server.replies import ServerFacts
from takt.runtime.server.scheduler import OnePerRobot
from takt.types import ActionChunk, ActionSpace, CameraSpec, EmbodimentSpec, Observation

AXES = ("pan", "tilt", "reach")
PIXELS = 24
HORIZON = 64
CAMERA_S = 0.01


def spec(rate_hz: float) -> EmbodimentSpec:
    """Three axes and a camera at `rate_hz` ticks per second."""
    return EmbodimentSpec(
        name="soak",
        rate_hz=rate_hz,
        cameras=(CameraSpec(name="eye", view="Ego View", height=PIXELS, width=PIXELS),),
        action_space=ActionSpace(
            names=AXES,
            units=("rad", "rad", "m"),
            low=np.full(3, -1, np.float32),
            high=np.full(3, 1, np.float32),
        ),
        slots=(0, 1, 2),
        relative=(False,) * 3,
        instruction="Wave.",
    )


class Eye:
    """A camera that can be unplugged."""

    def __init__(self) -> None:
        self.plugged = threading.Event()
        self.plugged.set()
        self._closed = False
        self._image = np.zeros((PIXELS, PIXELS, 3), np.uint8)

    def read(self) -> Frame:
        """The next frame; waits while unplugged."""
        time.sleep(CAMERA_S)
        while not self.plugged.wait(0.05) and not self._closed:
            pass
        return Frame(stamp=time.monotonic(), image=self._image.copy())

    def close(self) -> None:
        """End a wait."""
        self._closed = True


class SoakDriver:
    """Tracks its commands at once; counts its stops."""

    def __init__(self, rate_hz: float) -> None:
        self.spec = spec(rate_hz)
        self.eye = Eye()
        self.cameras: Mapping[str, Camera] = {"eye": self.eye}
        self.stops = 0
        self._place = np.zeros(3, np.float32)

    def connect(self) -> None:
        """Nothing to open."""
        self.eye._closed = False

    def read(self) -> JointSample:
        """Where it is."""
        time.sleep(0.002)
        return JointSample(stamp=time.monotonic(), state=self._place.copy())

    def command(self, action: np.ndarray) -> None:
        """Be there."""
        self._place = action

    def stop(self) -> None:
        """Counted."""
        self.stops += 1

    def close(self) -> None:
        """Nothing to release."""


class Wave:
    """Plans a slow wave that goes on from where the body is."""

    def __init__(self, rate_hz: float) -> None:
        self._rate_hz = rate_hz

    def reset(self, seed: int) -> None:
        """Nothing to forget."""

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        """`HORIZON` steps."""
        times = observation.stamp + np.arange(HORIZON)[:, None] / self._rate_hz
        actions = (0.3 * np.sin(times + np.arange(3))).astype(np.float32)
        return ActionChunk(stamp=observation.stamp, dt=1 / self._rate_hz, actions=actions)


def make_wave(rate_hz: float) -> Wave:
    """Factory for a policy process."""
    return Wave(rate_hz)


def serve(rate_hz: float, port: int) -> None:
    """A policy server until it is killed."""
    body = spec(rate_hz)
    facts = ServerFacts(
        policy="wave",
        embodiment=body.name,
        rate_hz=rate_hz,
        cameras=("eye",),
        state=AXES,
        actions=AXES,
        max_message_bytes=MAX_MESSAGE_BYTES,
        horizon=HORIZON,
    )
    policies = OnePerRobot(factory=lambda: Wave(rate_hz), robots=1)
    with PolicyServer(policies, facts, body, port=port) as server:
        print(server.port, flush=True)
        threading.Event().wait()
