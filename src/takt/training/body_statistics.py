"""A body's normalisation, fitted to the frames it is trained on."""

from collections.abc import Iterator, Sequence

import numpy as np

from takt.policies.xr0.checkpoint import BodyStatistics
from takt.policies.xr0.config import XR0Config
from takt.training.frames import Frames
from takt.transforms.actions import fit_action_statistics
from takt.transforms.slots import Slots
from takt.transforms.states import fit_state_statistics
from takt.types import EmbodimentSpec, TaktError

BLOCK = 4096  # frames whose chunks are in memory at a time, some 30 MB


class DeadStatisticsError(TaktError):
    """An axis of which the data teaches nothing."""


def fit_body(
    sources: Sequence[Frames],
    spec: EmbodimentSpec,
    config: XR0Config,
    *,
    horizon: int,
    execute: int,
    raw_state: bool = False,
) -> BodyStatistics:
    """Statistics of every chunk and state of a body's datasets.

    Steps past an episode's end do not count. With `raw_state` the state is not normalised, as in
    the released checkpoints.
    """
    eps, slots = config.contract.decode_eps, Slots(spec.state_slots, config.state_dim)
    chunks = (
        (actions, frames.state[rows], valid)
        for frames, rows in _blocks(sources)
        for actions, valid in [frames.chunk(rows, horizon)]
    )
    states = (frames.state[rows] for frames, rows in _blocks(sources))
    return BodyStatistics(
        action=fit_action_statistics(chunks, spec, config.action_dim, eps),
        state=None if raw_state else fit_state_statistics(states, slots, eps),
        execute_horizon=execute,
    )


def _blocks(sources: Sequence[Frames]) -> Iterator[tuple[Frames, np.ndarray]]:
    """Every row once."""
    for frames in sources:
        for start in range(0, len(frames), BLOCK):
            yield frames, np.arange(start, min(start + BLOCK, len(frames)))


def require_alive(statistics: BodyStatistics, spec: EmbodimentSpec) -> None:
    """Raise a `DeadStatisticsError` that names every action axis which never changes."""
    used = statistics.action.mask.max(0) > 0
    dead = [
        name
        for name, slot in zip(spec.action_space.names, spec.slots, strict=True)
        if not used[slot]
    ]
    if dead:
        raise DeadStatisticsError(
            f"dead statistics: expected every action axis of {spec.name!r} to move, got a standard "
            f"deviation of 0 on {', '.join(dead)}; take it out of axes in the body's file (a "
            "policy would only ever answer the recorded value) or record data that moves it"
        )
