"""How long an inference takes, as the executor sees it."""

import math
from dataclasses import dataclass

import numpy as np

from takt.types import TaktError

PAPER_LATENCY_MS = 80.0
"""One inference of the 4.7 B model on the paper's card."""


@dataclass(frozen=True, slots=True)
class Injected:
    """Virtual clock: a plan arrives exactly `ticks` executed ticks after its observation.

    The leading actions of a plan that is finished from the front arrive after `first` ticks.
    """

    ticks: int
    first: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Jittered:
    """Virtual clock: delays scatter round `ticks`, each drawn from `seed` and its number.

    A share `spikes` of them takes `spike` times as long; the others vary by up to `jitter` of it.
    The leading actions of a plan that is finished from the front arrive after `first_share` of it.
    """

    ticks: int
    seed: int
    jitter: float = 0.5
    spikes: float = 0.01
    spike: float = 5.0
    first_share: float = 0.0

    def delay(self, number: int) -> int:
        """Executed ticks from the observation of inference `number` to its arrival."""
        rng = np.random.default_rng((self.seed, number))
        spiked, factor = rng.random() < self.spikes, 1 + self.jitter * rng.uniform(-1, 1)
        return round(self.ticks * (self.spike if spiked else factor))


@dataclass(frozen=True, slots=True)
class Measured:
    """Wall clock: a plan arrives when it is ready; the loop only polls."""


Latency = Injected | Jittered | Measured


def delay_ticks(latency_ms: float, rate_hz: float) -> int:
    """Control ticks that pass during an inference of `latency_ms`, rounded up."""
    if not (math.isfinite(latency_ms) and latency_ms >= 0):
        raise TaktError(f"latency: expected milliseconds >= 0, got {latency_ms}; give a finite one")
    return math.ceil(latency_ms * 1e-3 * rate_hz - 1e-9)
