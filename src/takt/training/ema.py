"""Exponential moving average of weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """Averages `parameters`; the early decay is smaller so that the initialisation is forgotten."""

    def __init__(self, parameters: list[nn.Parameter], decay: float) -> None:
        self.shadow: list[Tensor] = [p.detach().clone() for p in parameters]
        self._parameters = parameters
        self._decay = decay

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average towards the weights after `step` (from 0)."""
        decay = min(self._decay, (2 + step) / (11 + step))
        for average, parameter in zip(self.shadow, self._parameters, strict=True):
            average.lerp_(parameter, 1 - decay)

    @torch.no_grad()
    def copy_to_parameters(self) -> None:
        """Replace the weights by their average."""
        for parameter, average in zip(self._parameters, self.shadow, strict=True):
            parameter.copy_(average)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The average in the weights' place for a while; they come back to the bit."""
        kept = [parameter.detach().clone() for parameter in self._parameters]
        self.copy_to_parameters()
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, weight in zip(self._parameters, kept, strict=True):
                    parameter.copy_(weight)
