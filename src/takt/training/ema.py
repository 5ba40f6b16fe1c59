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
        """Average and weights in each other's place for a while; both come back to the bit."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        """One tensor after the other: there is no room for all of them a third time."""
        for parameter, average in zip(self._parameters, self.shadow, strict=True):
            weight = parameter.clone()
            parameter.copy_(average)
            average.copy_(weight)
