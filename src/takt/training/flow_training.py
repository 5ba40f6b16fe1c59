"""Stages 2 and 3: flow matching, with the VLM frozen (paper section 2.2, step 2) or not (2.3).

Asynchronous post-training gives each sample a clean prefix of 0..6 actions; synchronous none.
"""

import torch
from torch import Tensor, nn

from takt.policies.common.flow import (
    draw_noise,
    draw_prefix_length,
    draw_tau,
    flow_loss,
    interpolate,
    loss_mask,
)
from takt.policies.xr0.model import XR0
from takt.training.batches import Batch
from takt.training.stage import Stage


class FlowTraining(Stage):
    """Flow-matching loss over `draws` noise draws per frame.

    Args:
        policy: The model.
        action_mask: (1, T, D).
        draws: Noise draws that share one VLM pass (the released trainer's `training_repeat`).
        freeze_vlm: Stage 2.
        max_prefix: Longest clean prefix; 0 trains synchronous execution.
    """

    def __init__(
        self, policy: XR0, action_mask: Tensor, *, draws: int, freeze_vlm: bool, max_prefix: int
    ) -> None:
        super().__init__()
        self.policy = policy
        self.action_mask = action_mask
        self._draws = draws
        self._freeze_vlm = freeze_vlm
        self._max_prefix = max_prefix

    def trainable(self) -> list[nn.Parameter]:
        """Everything, less a frozen VLM."""
        frozen = {id(p) for p in self.policy.vlm.parameters()} if self._freeze_vlm else set()
        return [p for p in self.policy.parameters() if id(p) not in frozen]

    def losses(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Scalars of one batch."""
        with torch.set_grad_enabled(not self._freeze_vlm):
            cache = self.policy.encode(batch.inputs).repeat(self._draws)
        actions = batch.actions.repeat_interleave(self._draws, 0)
        state = batch.state.repeat_interleave(self._draws, 0)
        valid = batch.valid.repeat_interleave(self._draws, 0)
        count = len(actions)
        tau, noise = draw_tau(count, generator), draw_noise(actions, generator)
        prefix = torch.zeros(count, dtype=torch.long)
        if self._max_prefix:
            prefix = draw_prefix_length(count, self._max_prefix, generator)
        noisy = interpolate(actions, noise, tau, prefix)
        velocity = self.policy.velocity(cache, state, noisy, tau, self.action_mask, prefix)
        mask = loss_mask(self.action_mask, valid, prefix)
        return {"loss": flow_loss(velocity, actions, noise, mask)}
