"""A human in the loop: looks at what is planned and may change it or take over."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from takt.runtime.tick import Authority
from takt.types import Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What the operator lets happen: `action` (action,) float32, absolute targets.

    What an assistant adds to `planned` is kept on top of the plan as long as it was made without
    having seen it; the next plan begins where the body was pushed to.
    """

    action: np.ndarray
    authority: Authority


class Operator(Protocol):
    """Asked on every tick, between plan and governor; must return at once."""

    def decide(self, now: Seconds, planned: np.ndarray, last: np.ndarray) -> Command:
        """`planned` (action,) is the policy's wish, `last` what was executed before."""
        ...
