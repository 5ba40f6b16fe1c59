"""A rank's part of a batch: a step is the same whatever the number of ranks."""

from dataclasses import dataclass

import torch.distributed as dist
from torch import Tensor

from takt.types import TaktError


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `index` of a batch cut into `count` equal parts, in order, one for each rank."""

    index: int = 0
    count: int = 1

    def rows(self, size: int) -> slice:
        """This part of `size` samples.

        Raises:
            TaktError: they cannot be cut evenly.
        """
        if size % self.count:
            raise TaktError(
                f"expected ranks that divide a batch of {size}, got {self.count}; "
                "choose other --ranks"
            )
        share = size // self.count
        return slice(self.index * share, (self.index + 1) * share)

    def deal(self, size: int) -> slice:
        """This part of `size` samples whose parts may differ by one."""
        return slice(self.index * size // self.count, (self.index + 1) * size // self.count)

    def part(self, drawn: Tensor) -> Tensor:
        """This part of what was drawn for the whole batch, whose rows are its first axis."""
        return drawn.unflatten(0, (self.count, -1))[self.index]

    def visible(self, mask: Tensor) -> Tensor:
        """What a masked mean divides by, so that its mean over the parts is the whole batch's.

        Every rank with a part of the batch must ask.
        """
        return self.total(mask.sum()).clamp_min(1) / self.count

    def total(self, part: Tensor) -> Tensor:
        """Sum of the parts' tensors, without gradient; every rank must ask."""
        total = part.detach().clone()
        if self.count > 1:
            dist.all_reduce(total)
        return total


WHOLE = Shard()
