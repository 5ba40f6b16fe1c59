"""What every format has in common: episodes by position, all with the same columns."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from takt.datasets.schema import Schema
from takt.types import ActionSpace, CameraSpec, EmbodimentSpec, Episode, StateSpace


class EpisodeSource(Protocol):
    """Recorded episodes of one body, read one by one."""

    @property
    def schema(self) -> Schema:
        """The body and the columns of every episode."""
        ...

    def __len__(self) -> int:
        """Number of episodes."""
        ...

    def path(self, index: int) -> Path:
        """The file that holds the episode, or most of it."""
        ...

    def episode(self, index: int) -> Episode:
        """Read one episode.

        Raises:
            DatasetError: it is damaged or missing; the others can still be read.
        """
        ...


def recorded_schema(
    name: str,
    rate_hz: float,
    cameras: Mapping[str, tuple[int, int]],
    state: Sequence[str],
    actions: Sequence[str],
    extras: Mapping[str, int] | None = None,
    touch: int = 0,
) -> Schema:
    """The schema of a body of which only recordings are known.

    Its bounds are infinite and its slots count up: a dataset stores neither.

    Args:
        name: Of the body.
        rate_hz: Ticks per second.
        cameras: Height and width in pixels by name.
        state: Names of the measured axes.
        actions: Names of the commanded axes.
        extras: Width of each further column by name.
        touch: Width of the touch column; 0 leaves it out.
    """
    measured = StateSpace(names=tuple(state), slots=tuple(range(len(state))))
    bound = np.full(len(actions), np.inf, np.float32)
    spec = EmbodimentSpec(
        name=name,
        rate_hz=rate_hz,
        cameras=tuple(
            CameraSpec(name=camera, view=camera, height=height, width=width)
            for camera, (height, width) in cameras.items()
        ),
        action_space=ActionSpace(
            names=tuple(actions), units=("",) * len(actions), low=-bound, high=bound
        ),
        slots=tuple(range(len(actions))),
        relative=(False,) * len(actions),
        instruction="",
        state_space=None if tuple(state) == tuple(actions) else measured,
    )
    return Schema(spec=spec, touch=touch, extras=dict(extras or {}))
