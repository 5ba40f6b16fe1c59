"""MetaWorld's simulator as a body, and its own script as an expert."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from takt.benchmarks.suites.offscreen import no_pictures
from takt.benchmarks.suites.suite import Trial
from takt.types import ActionChunk, EmbodimentSpec, Observation

MAX_STEPS = 500
CAMERA = "corner2"


class Simulator(Protocol):
    """What of a MetaWorld environment is used."""

    def seed(self, seed: int) -> object:
        """Fix what later resets draw."""

    def reset(self) -> tuple[np.ndarray, object]:
        """Begin anew; the first is the raw observation (39,) float64."""
        ...

    def step(self, action: np.ndarray) -> tuple[np.ndarray, Any, bool, bool, Mapping[str, Any]]:
        """One control step; the last is a mapping with `success`."""
        ...

    def render(self) -> np.ndarray:
        """(height, width, 3) uint8, upside down and mirrored, as `corner2` hangs."""
        ...

    def close(self) -> None:
        """Free the renderer."""


class Script(Protocol):
    """One of MetaWorld's scripted policies; it remembers nothing."""

    def get_action(self, obs: np.ndarray) -> np.ndarray:
        """(4,), not clipped, from the raw observation (39,)."""
        ...


class MetaworldScene:
    """Plays trials of one task.

    Attributes:
        blind: Observations come without images, which cost most of the time; set it for players
            that do not look.
    """

    def __init__(self, simulator: Simulator, script: Script, spec: EmbodimentSpec) -> None:
        """Begin no trial yet."""
        self._simulator, self._script, self._spec = simulator, script, spec
        self.blind = False
        self._raw = np.zeros(39)
        self._steps, self._success = 0, False

    @property
    def spec(self) -> EmbodimentSpec:
        """Its fixed facts."""
        return self._spec

    def reset(self, trial: Trial) -> None:
        """Draw object and goal from the trial's seed and put the hand where it begins."""
        self._simulator.seed(trial.seed)
        self._raw, _ = self._simulator.reset()
        self._steps, self._success = 0, False

    @property
    def finished(self) -> bool:
        """It succeeded, or ran out of steps."""
        return self._success or self._steps >= MAX_STEPS

    @property
    def stages(self) -> int:
        """1 from the first step with success."""
        return int(self._success)

    def observe(self) -> Observation:
        """Camera and hand; renders unless `blind`."""
        stamp = self._steps * self._spec.dt
        images = {} if self.blind else {CAMERA: self._picture()}
        return Observation(
            stamp=stamp,
            images=images,
            image_stamps=dict.fromkeys(images, stamp),
            state=self._raw[:4].astype(np.float32),
            instruction=self._spec.instruction,
        )

    def act(self, action: np.ndarray) -> None:
        """One control step."""
        self._raw, _, _, _, info = self._simulator.step(action)
        self._steps += 1
        self._success = self._success or bool(info["success"])

    def stop(self) -> None:
        """A simulator stands still by itself."""

    def expert(self) -> "MetaworldExpert":
        """MetaWorld's own script for the task."""
        return MetaworldExpert(self, self._script)

    @property
    def raw(self) -> np.ndarray:
        """All that the simulator tells, objects and goal included: (39,). Not for policies."""
        return self._raw

    def close(self) -> None:
        """Free the renderer."""
        self._simulator.close()

    def _picture(self) -> np.ndarray:
        try:
            image = self._simulator.render()
        except Exception as error:  # every OpenGL backend has failures of its own
            raise no_pictures("metaworld", error) from error
        return np.ascontiguousarray(image[::-1, ::-1])


class MetaworldExpert:
    """The task's script as a policy: plans of one action, from the scene's raw observation."""

    def __init__(self, scene: MetaworldScene, script: Script) -> None:
        """Watch `scene`."""
        self._scene, self._script = scene, script

    def reset(self, seed: int) -> None:
        """Nothing to forget."""

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        """The action for now, clipped to what can be executed."""
        action = np.clip(self._script.get_action(self._scene.raw), -1.0, 1.0)
        return ActionChunk(
            stamp=observation.stamp,
            dt=self._scene.spec.dt,
            actions=action[None].astype(np.float32),
        )
