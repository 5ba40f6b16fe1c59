"""How long an inference takes, as the executor sees it."""

import math
from dataclasses import dataclass

from takt.types import TaktError

PAPER_LATENCY_MS = 80.0
"""One inference of the 4.7 B model on the paper's card."""


@dataclass(frozen=True, slots=True)
class Injected:
    """Virtual clock: a plan arrives exactly `ticks` executed ticks after its observation."""

    ticks: int


@dataclass(frozen=True, slots=True)
class Measured:
    """Wall clock: a plan arrives when it is ready; the loop only polls."""


Latency = Injected | Measured


def delay_ticks(latency_ms: float, rate_hz: float) -> int:
    """Control ticks that pass during an inference of `latency_ms`, rounded up."""
    if not (math.isfinite(latency_ms) and latency_ms >= 0):
        raise TaktError(f"latency: expected milliseconds >= 0, got {latency_ms}; give a finite one")
    return math.ceil(latency_ms * 1e-3 * rate_hz - 1e-9)
