"""Corrections: the policy drives, the expert says what to do instead (DAgger, Ross et al. 2011)."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from takt.embodiments.nut_station.spec import SPEC
from takt.runtime.chunking import AsynchronousPrefix
from takt.runtime.clock import VirtualClock
from takt.runtime.executor import Executor
from takt.runtime.inference import InlinePolicy
from takt.runtime.latency import PAPER_LATENCY_MS, Injected, delay_ticks
from takt.runtime.safety import Governor, step_limits
from takt.simulation.nut_station.demonstration import LabelledStation
from takt.simulation.nut_station.station import NutStation
from takt.types import Episode

if TYPE_CHECKING:
    from takt.policies.xr0.policy import XR0Policy

DELAY_TICKS = delay_ticks(PAPER_LATENCY_MS, SPEC.rate_hz)


def correct(station: NutStation, seed: int, checkpoint: Path) -> Episode:
    """The asynchronous policy's try at the cycle of `seed`, each tick labelled by the expert."""
    policy = _policy(checkpoint)
    policy.reset(seed)
    body = LabelledStation(station, seed)
    executor = Executor(
        body,
        InlinePolicy(policy),
        AsynchronousPrefix(policy.execute_horizon, prefix=DELAY_TICKS),
        clock=VirtualClock(SPEC.dt),
        latency=Injected(DELAY_TICKS),
        governor=Governor(SPEC.action_space, step_limits(SPEC)),
    )
    executor.run(lambda: body.over)
    return body.episode()


@functools.lru_cache(maxsize=1)
def _policy(checkpoint: Path) -> "XR0Policy":
    from takt.policies.xr0.policy import XR0Policy

    return XR0Policy.load(checkpoint, SPEC, threads=1)
