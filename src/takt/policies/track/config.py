"""Sizes of the tracking policy, and under which contract it treats its action tokens.

Torch is not imported here.
"""

from dataclasses import dataclass, replace
from typing import Literal

from takt.policies.xr0 import config as xr0
from takt.policies.xr0.config import Contract, DiTConfig

HORIZON = 40
"""Actions of a chunk: at d = 6 they last through 1.5 d and a five-fold delay after it."""
MAX_PREFIX = 12
"""Clean actions at most: what jitter of half a delay makes of d = 8."""
STREAMED = 8
"""Leading actions that a streamed chunk has after its first flow step."""

Network = Literal["plain", "training_time_rtc", "lambda", "streaming"]
NETWORKS: dict[Network, Contract] = {
    "plain": xr0.CAUSAL,
    "training_time_rtc": replace(xr0.TRAINING_TIME_RTC, max_prefix=MAX_PREFIX),
    "lambda": replace(xr0.XR0_POSTTRAIN, max_prefix=MAX_PREFIX),
    "streaming": xr0.CAUSAL,
}
"""What is trained; all else is alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackConfig:
    """One network."""

    network: Network
    dit: DiTConfig = DiTConfig(hidden_size=48, num_hidden_layers=2, head_dim=16, mlp_ratio=2)
    horizon: int = HORIZON
    state_dim: int = 8
    action_dim: int = 2
    flow_steps: int = 5
    rope_theta: float = 1e3

    @property
    def contract(self) -> Contract:
        """How it treats its action tokens."""
        return NETWORKS[self.network]
