"""The table as a body: a pointer is moved over it, and must end on the block that was named."""

import numpy as np
from jaxtyping import Float32

from takt.embodiments.blocks import SPEC
from takt.simulation.blocks.scene import draw, random_scene
from takt.types import EmbodimentSpec, Observation, TaktError

SPEED = 0.1  # the tip's way in a tick
REACHED = 0.05  # farthest from the block's centre
EPISODE_TICKS = 30


class BlocksTable:
    """One scene of three blocks an episode."""

    def __init__(self) -> None:
        """At the scene of seed 0."""
        self.reset(0)

    @property
    def spec(self) -> EmbodimentSpec:
        """The body."""
        return SPEC

    def reset(self, seed: int) -> None:
        """New blocks, a new start of the tip, and a block to reach."""
        rng = np.random.default_rng(seed)
        self.scene = random_scene(rng)
        self._tip = rng.uniform(0, 1, 2)
        self.target = self.scene.blocks[0]
        self._ticks = 0

    def observe(self) -> Observation:
        """The picture, and where the tip is."""
        stamp = self.now
        return Observation(
            stamp=stamp,
            images={SPEC.cameras[0].name: draw(self.scene, self._tip)},
            image_stamps={SPEC.cameras[0].name: stamp},
            state=self._tip.astype(np.float32),
            instruction=instruction(self.target.colour),
        )

    def act(self, action: Float32[np.ndarray, " action"]) -> None:
        """Move the tip towards `action`, at most by `SPEED`."""
        if not np.isfinite(action).all():
            raise TaktError("blocks: expected a finite target, got NaN or infinity; stop the body")
        self._tip = step(self._tip, np.clip(action, 0, 1))
        self._ticks += 1

    def stop(self) -> None:
        """The tip stays where it is."""

    @property
    def now(self) -> float:
        """Seconds since `reset`."""
        return self._ticks * SPEC.dt

    @property
    def finished(self) -> bool:
        """Time is up."""
        return self._ticks >= EPISODE_TICKS

    @property
    def success(self) -> bool:
        """The tip is on the named block."""
        return bool(np.hypot(*(self._tip - np.array(self.target.centre))) < REACHED)


def instruction(colour: str) -> str:
    """What the policy is told."""
    return f"Reach the {colour} block."


def step(tip: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Where the tip is a tick later."""
    way = target - tip
    length = np.hypot(*way)
    return tip + way * min(1.0, SPEED / max(float(length), 1e-9))


def plan(tip: np.ndarray, target: np.ndarray, steps: int) -> Float32[np.ndarray, "steps 2"]:
    """The expert's next positions: straight to `target`."""
    positions = []
    for _ in range(steps):
        tip = step(tip, target)
        positions.append(tip)
    return np.array(positions, np.float32)
