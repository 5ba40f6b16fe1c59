"""What the loop needs of a stage."""

from abc import ABC, abstractmethod
from typing import Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor, nn

from takt.policies.xr0.model import XR0
from takt.training.shards import Shard


class Movable(Protocol):
    """A batch of any kind."""

    def to(self, device: torch.device) -> Self:
        """The same on `device`."""
        ...


B = TypeVar("B", bound=Movable)
Drawn = TypeVar("Drawn", bound=Movable, covariant=True)


class Source(Protocol[Drawn]):
    """Where batches come from; each depends on its generator only."""

    def draw(self, size: int, generator: torch.Generator, shard: Shard = ...) -> Drawn:
        """The part `shard` of `size` samples."""
        ...


class Stage(nn.Module, ABC, Generic[B]):
    """A loss over batches of one kind around a policy.

    choice_pretraining.py, vision_language.py and flow_training.py have them.
    """

    policy: XR0

    @abstractmethod
    def trainable(self) -> list[nn.Parameter]:
        """Parameters to optimise."""

    @abstractmethod
    def losses(self, batch: B, generator: torch.Generator) -> dict[str, Tensor]:
        """Named scalars; `loss` is minimised."""
