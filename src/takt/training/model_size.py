"""What of a training depends on how large the model is."""

import torch

from takt.policies.xr0.config import XR0Config
from takt.policies.xr0.model import XR0

_SMALL = 100_000_000  # parameters; below, rates that suit the nano model (nano-training, 2)


def is_small(config: XR0Config) -> bool:
    """Whether the model has fewer parameters than 100 M."""
    with torch.device("meta"):
        return sum(x.numel() for x in XR0(config).parameters()) < _SMALL


def save_every_s(small: bool) -> float:
    """Seconds between two states of a training: large ones take minutes to write."""
    return 60.0 if small else 600.0
