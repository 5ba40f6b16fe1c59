"""How the gradients of a step become new weights."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from takt.training.parallel import average_gradients

Moments = Mapping[Tensor, dict[str, Tensor]]
"""What an optimiser remembers of each parameter, by slot."""


class Updater:
    """Where every rank holds all gradients and moments, or FSDP2's shards of them.

    Whole gradients are averaged once a step; FSDP2 has reduced its own in the backward passes.
    """

    def __init__(
        self, optimiser: torch.optim.Optimizer, parameters: list[nn.Parameter], clip: float
    ) -> None:
        self._optimiser, self._parameters, self._clip = optimiser, parameters, clip
        self._is_sharded = any(isinstance(p, DTensor) for p in parameters)
        optimiser.zero_grad(set_to_none=True)

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Of one of a step's passes; `last`: none follows."""
        del last
        loss.backward()

    def step(self, lr: float) -> float:
        """Update the weights and drop the gradients; their norm over all ranks before clipping.

        Nothing is updated where it is not finite.
        """
        if not self._is_sharded:
            average_gradients(self._parameters)
        norm = _clip(self._parameters, self._clip)
        if np.isfinite(norm):
            for group in self._optimiser.param_groups:
                group["lr"] = lr
            self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        return norm

    def moments(self) -> Moments:
        """Those that this rank stores; every rank calls it."""
        return self._optimiser.state

    def blank(self, parameter: nn.Parameter) -> Tensor:
        """A moment of `parameter`, to be filled from a file."""
        return torch.zeros_like(parameter)

    def restore(self, moments: Moments) -> None:
        """Go on with `moments`, filled, and with the weights that the parameters now have."""
        for parameter, slots in moments.items():
            # Fused kernels read the count of steps where the weights are.
            placed = {slot: value.to(parameter.device) for slot, value in slots.items()}
            self._optimiser.state[parameter] = placed

    def close(self) -> None:
        """The stage is done."""


def _clip(parameters: list[nn.Parameter], limit: float) -> float:
    norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
    return (norm.full_tensor() if isinstance(norm, DTensor) else norm).item()
