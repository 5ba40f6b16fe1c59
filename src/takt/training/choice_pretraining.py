"""Stage 1: the VLM learns to see and act through choice heads (paper section 2.2, step 1)."""

import torch
from torch import Tensor, nn

from takt.policies.common.flow import loss_mask
from takt.policies.xr0.choice import ChoiceConfig, ChoiceHeads, choice_losses, point_loss
from takt.policies.xr0.model import XR0
from takt.training.batches import Batch
from takt.training.stage import Stage
from takt.training.vision_language import with_words

SCORE_WEIGHT = 0.5
POINT_WEIGHT = 2.0


class ChoicePretraining(Stage[Batch]):
    """Winner-takes-all L1, score regression and grounding of named image points.

    Conversations in a batch add `words_weight` times their next-token loss.
    """

    def __init__(self, policy: XR0, config: ChoiceConfig, *, words_weight: float = 1.0) -> None:
        super().__init__()
        self.policy = policy
        self._words_weight = words_weight
        self.heads = ChoiceHeads(policy, config)

    def trainable(self) -> list[nn.Parameter]:
        """VLM and heads."""
        return [*self.policy.vlm.parameters(), *self.heads.parameters()]

    def losses(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Scalars of one batch; the stage draws nothing."""
        output = self.heads(self.policy, batch.inputs, batch.state)
        choice = choice_losses(output, batch.actions, loss_mask(batch.action_mask, batch.valid))
        shown = (batch.points.abs() <= 1).all(-1, keepdim=True).expand_as(batch.points)
        visible = shown.float()
        points = point_loss(output, batch.points, visible, batch.shard.visible(visible))
        total = choice.action + SCORE_WEIGHT * choice.score + POINT_WEIGHT * points
        parts = {"action": choice.action, "score": choice.score, "points": points}
        losses = {"loss": total, **parts}
        return with_words(losses, self.policy, batch.conversations, self._words_weight)
