"""Stages 2 and 3: flow matching, with the VLM frozen (paper section 2.2, step 2) or not (2.3)."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from takt.policies.common import flow
from takt.policies.xr0.cache import VLMCache
from takt.policies.xr0.model import XR0
from takt.training.batches import Batch
from takt.training.flow_draws import FlowDraws, draw
from takt.training.flow_objective import FlowObjective, FrequencyLoss, OnlineError
from takt.training.shards import Shard
from takt.training.stage import Stage
from takt.training.vision_language import with_words

Frozen = Literal["nothing", "text_embeddings", "vlm"]
"""What a flow stage leaves as it is; the released trainer's choice is "text_embeddings"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowTerms:
    """Losses and what they were made of; N rows, one per sample and noise draw.

    Attributes:
        loss: What is minimised.
        mse: Weighted masked squared error.
        frequency: Spectral error before its coefficient; 0 where the objective has none.
        velocity: (N, T, D) prediction, 0 in the prefix.
        target: (N, T, D).
        mask: (N, T, D), 1 where the squared error looks.
        raw_weight: (N, T, D) |rollout - actions|; 1 without a prefix.
        rollout: Velocities (N, T, D) of the online prediction's steps; empty if none was made.
    """

    loss: Tensor
    mse: Tensor
    frequency: Tensor
    velocity: Tensor
    target: Tensor
    mask: Tensor
    raw_weight: Tensor
    rollout: tuple[Tensor, ...]


class FlowTraining(Stage[Batch]):
    """Flow-matching loss over `draws` noise draws per frame.

    Args:
        policy: The model; its contract says how long a clean prefix may be.
        draws: Noise draws that share one VLM pass (the released trainer's `training_repeat`).
        frozen: Parts that are not trained; "vlm" is stage 2.
        objective: What is minimised.
        words_weight: Of the conversations beside the frames.
    """

    def __init__(
        self,
        policy: XR0,
        *,
        draws: int,
        frozen: Frozen = "nothing",
        objective: FlowObjective,
        words_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.policy = policy
        self._draws = draws
        self._frozen: Frozen = frozen
        self._objective = objective
        self._words_weight = words_weight

    def trainable(self) -> list[nn.Parameter]:
        """Everything but the frozen parts."""
        vlm, held = self.policy.vlm, list[nn.Parameter]()
        if self._frozen == "text_embeddings":
            held = list(vlm.model.get_input_embeddings().parameters())
        elif self._frozen == "vlm":
            held = list(vlm.parameters())
        frozen = {id(parameter) for parameter in held}
        return [p for p in self.policy.parameters() if id(p) not in frozen]

    def losses(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Scalars of one batch; the parts of the loss are named where there are several."""
        actions = batch.actions.repeat_interleave(self._draws, 0)
        longest = self.policy.config.contract.max_prefix
        shape = (batch.shard.count * len(actions), *actions.shape[1:])
        whole = torch.empty(shape, dtype=actions.dtype)  # on the CPU, as the generator is
        draws = draw(self._objective, longest, whole, generator)
        terms = self.terms(batch, draws.part(batch.shard, actions.device))
        losses = {"loss": terms.loss}
        if self._objective.frequency is not None:
            losses |= {"mse": terms.mse, "frequency": terms.frequency}
        return with_words(losses, self.policy, batch.conversations, self._words_weight)

    def terms(self, batch: Batch, draws: FlowDraws) -> FlowTerms:
        """The loss under given `draws`, whose rows are each sample's in turn."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self._frozen != "vlm"):
            cache = self.policy.encode(batch.inputs).repeat(self._draws)
        shown = batch.action_mask.expand(len(batch.actions), -1, -1)
        state, actions, valid, shown = (
            x.repeat_interleave(self._draws, 0)
            for x in (batch.state, batch.actions, batch.valid, shown)
        )
        noisy = flow.interpolate(actions, draws.noise, draws.tau, draws.prefix_length)
        velocity = self.policy.velocity(
            cache, state, noisy, draws.tau, shown, draws.prefix_length, draws.hidden
        )
        target = actions - draws.noise
        mask = flow.loss_mask(shown, valid, draws.prefix_length)
        raw, rollout = torch.ones_like(actions), ()
        if self._objective.weight is not None and draws.is_prefixed:
            raw, rollout = self._online_error(cache, state, actions, shown, draws)
        error = velocity - target
        weight = _weight(self._objective.weight, raw, mask, draws, batch.shard)
        squares = error**2 if weight is None else weight * error**2
        mse = flow.masked_mean(squares, mask, batch.shard.visible(mask))
        frequency = _frequency(self._objective.frequency, error, weight, mask, draws, batch.shard)
        loss = self._objective.mse_factor * mse
        if self._objective.frequency is not None:
            loss = loss + self._objective.frequency.coefficient * frequency
        return FlowTerms(
            loss=loss,
            mse=mse,
            frequency=frequency,
            velocity=velocity,
            target=target,
            mask=mask,
            raw_weight=raw,
            rollout=rollout,
        )

    @torch.no_grad()
    def _online_error(
        self, cache: VLMCache, state: Tensor, actions: Tensor, shown: Tensor, draws: FlowDraws
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """|what the policy would do now - actions|, 1 without a prefix, and its velocities."""
        steps, length = self.policy.config.flow_steps, draws.prefix_length
        clean = flow.prefix_rows(length, actions.shape[1])
        chunk: Tensor = torch.where(clean, actions, draws.noise)
        velocities: list[Tensor] = []
        for step in range(steps):
            tau = torch.full_like(draws.tau, step / steps)
            velocity: Tensor = self.policy.velocity(
                cache, state, chunk, tau, shown, length, draws.hidden
            )
            velocities.append(velocity)
            chunk += velocity / steps
        error = torch.where((length > 0)[:, None, None], (chunk - actions).abs(), 1)
        return error, tuple(velocities)


def _weight(
    config: OnlineError | None, raw: Tensor, mask: Tensor, draws: FlowDraws, shard: Shard
) -> Tensor | None:
    if config is None:
        return None
    seen = mask * (draws.prefix_length > 0)[:, None, None]
    mean = shard.total((raw * seen).sum()) / shard.total(seen.sum()).clamp_min(1)
    return flow.online_error_weight(raw, mean, seen, config.low, config.high)


def _frequency(
    config: FrequencyLoss | None,
    error: Tensor,
    weight: Tensor | None,
    mask: Tensor,
    draws: FlowDraws,
    shard: Shard,
) -> Tensor:
    """0 where nothing is asked or, in the whole batch, nothing is to be learnt."""
    if config is None:
        return error.new_zeros(())
    columns = mask if config.columns == "active" else torch.ones_like(mask)
    weight = torch.ones_like(error) if weight is None else weight
    total, count = flow.spectral_error(error, weight, columns, draws.prefix_length)
    is_learnt = shard.total(mask.sum()) > 0
    return is_learnt * total / shard.visible(count)
