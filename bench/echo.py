"""What every server of the transport benches computes: a chunk that begins with the state."""

import numpy as np

from takt.types import ActionChunk, Observation

HORIZON, AXES = 30, 14


class Echo:
    """One array of actions, used again and again."""

    def __init__(self) -> None:
        """All zero."""
        self.actions = np.zeros((HORIZON, AXES), np.float32)

    def __call__(self, state: np.ndarray) -> np.ndarray:
        """Actions (horizon, axis) float32."""
        self.actions[0] = state
        return self.actions


class EchoPolicy:
    """The echo as a policy."""

    def __init__(self) -> None:
        """Its one chunk is made here: checking it costs more than carrying it."""
        self._echo = Echo()
        self._chunk = ActionChunk(stamp=0.0, dt=1 / 30, actions=self._echo.actions)

    def reset(self, seed: int) -> None:
        """There is nothing to forget."""

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        """The chunk, which begins with the state."""
        self._echo(observation.state)
        return self._chunk
