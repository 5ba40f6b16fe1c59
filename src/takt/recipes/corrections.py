"""Corrections: the policy drives, the expert says what to do instead (DAgger, Ross et al. 2011)."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from takt.embodiments.nut_station.spec import SPEC
from takt.runtime.asynchronous import run_asynchronously
from takt.runtime.inference import InlinePolicy
from takt.simulation.nut_station.demonstration import LabelledStation
from takt.simulation.nut_station.station import NutStation
from takt.types import Episode

if TYPE_CHECKING:
    from takt.policies.xr0.policy import XR0Policy


def correct(station: NutStation, seed: int, checkpoint: Path) -> Episode:
    """The asynchronous policy's try at the cycle of `seed`, each tick labelled by the expert."""
    policy = _policy(checkpoint)
    policy.reset(seed)
    body = LabelledStation(station, seed)
    run_asynchronously(body, InlinePolicy(policy), policy.execute_horizon, lambda: body.over)
    return body.episode()


@functools.lru_cache(maxsize=1)
def _policy(checkpoint: Path) -> "XR0Policy":
    from takt.policies.xr0.policy import XR0Policy

    return XR0Policy.load(checkpoint, SPEC, threads=1)
