"""Small real objects with the interfaces of a body and a policy; no simulator, no model."""

import os
import time
from collections.abc import Mapping
from typing import Literal

import numpy as np

from takt.benchmarks.cycle import Outcome
from takt.embodiments import embodiment_spec
from takt.types import ActionChunk, EmbodimentSpec, Observation, TaktError

SPEC = embodiment_spec("nut-station")
WIDTH = len(SPEC.action_space.names)
IMAGE = 8  # pixels: what a fake camera sees need not be 64 x 64


class FakeStation:
    """First-order lag towards the target; ends after a number of ticks drawn from the seed."""

    CONSTANT_S = 40.0

    def __init__(self, tick_s: float = 0.0) -> None:
        self.tick_s = tick_s
        self.stops = 0
        self.reset(0)

    @property
    def spec(self) -> EmbodimentSpec:
        return SPEC

    def reset(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self.ticks = 0
        self.length = int(self._rng.integers(45, 60))
        self.state = self._rng.uniform(0.0, 0.1, WIDTH).astype(np.float32)
        self.state = np.clip(self.state, SPEC.action_space.low, SPEC.action_space.high)
        self.fate: dict[str, Outcome] = {
            side: "installed" if self._rng.random() < 0.8 else "dropped"
            for side in ("left", "right")
        }

    def observe(self) -> Observation:
        stamp = self.ticks * SPEC.dt
        images = {
            camera.name: self._rng.integers(0, 256, (IMAGE, IMAGE, 3)).astype(np.uint8)
            for camera in SPEC.cameras
        }
        return Observation(
            stamp=stamp,
            images=images,
            image_stamps=dict.fromkeys(images, stamp),
            state=self.state.copy(),
            instruction=SPEC.instruction,
        )

    def act(self, action: np.ndarray) -> None:
        if self.tick_s:
            time.sleep(self.tick_s)
        self.state = (self.state + 0.5 * (action - self.state)).astype(np.float32)
        self.ticks += 1

    def stop(self) -> None:
        self.stops += 1

    @property
    def finished(self) -> bool:
        return self.ticks >= self.length

    @property
    def outcomes(self) -> Mapping[str, Outcome | None]:
        return self.fate if self.finished else dict.fromkeys(self.fate)

    def finish(self) -> Mapping[str, Outcome]:
        return self.fate

    @property
    def cycle_s(self) -> float:
        return self.CONSTANT_S + self.ticks * SPEC.dt

    def render(self, camera: str, height: int, width: int) -> np.ndarray:
        image = np.zeros((height, width, 3), np.uint8)
        image[:, : 1 + self.ticks * (width - 1) // 60] = (40, 120, 200)
        return image


class Silent:
    """Watches a shift and says nothing."""

    def cycle_begins(self, cycle: int) -> None: ...

    def cycle_runs(self, cycle_s: float) -> None: ...

    def cycle_ended(self, record: object) -> None: ...


class FakePolicy:
    """Plans a smooth wave from the state plus seeded noise; remembers what was committed."""

    def __init__(self, horizon: int = 16) -> None:
        self.horizon = horizon
        self.committed: list[ActionChunk | None] = []
        self.observations: list[Observation] = []
        self.reset(0)

    def reset(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        self.committed.append(committed)
        self.observations.append(observation)
        times = observation.stamp + np.arange(self.horizon)[:, None] * SPEC.dt
        wave = observation.state + 0.02 * np.sin(3 * times + np.arange(WIDTH))
        noise = self._rng.normal(0, 1e-3, wave.shape)
        actions = np.clip(wave + noise, SPEC.action_space.low, SPEC.action_space.high)
        return ActionChunk(stamp=observation.stamp, dt=SPEC.dt, actions=actions.astype(np.float32))


class BrokenPolicy(FakePolicy):
    """Fails on its third inference in the way it is told to."""

    def __init__(self, how: Literal["exit", "raise", "refuse", "nan"]) -> None:
        super().__init__()
        self.how = how

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        chunk = super().infer(observation, committed)
        if len(self.committed) < 3:
            return chunk
        match self.how:
            case "exit":
                print("out of nuts", flush=True)
                os._exit(7)
            case "raise":
                raise ZeroDivisionError("no torque")
            case "refuse":
                raise TaktError("not my body")
            case "nan":
                chunk.actions[:, 3] = np.nan
        return chunk


def make_policy(horizon: int = 16) -> FakePolicy:
    """Factory for a policy process."""
    return FakePolicy(horizon)


def make_broken(how: Literal["exit", "raise", "refuse", "nan"]) -> BrokenPolicy:
    """Factory for a policy process that fails."""
    return BrokenPolicy(how)
