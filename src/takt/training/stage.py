"""What the loop needs of a stage."""

import torch
from torch import Tensor, nn

from takt.policies.xr0.model import XR0
from takt.training.batches import Batch


class Stage(nn.Module):
    """A loss over batches around a policy; choice_pretraining.py and flow_training.py have them."""

    policy: XR0

    def trainable(self) -> list[nn.Parameter]:
        """Parameters to optimise."""
        raise NotImplementedError

    def losses(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Named scalars; `loss` is minimised."""
        raise NotImplementedError
