"""Choice heads: the VLM itself proposes and scores chunks (pre-training step 1 of the XR-0 paper).

The language model reads prompt, state, [A_1 .. A_T], [S] and grounding queries [G] in one pass.
Being causal it leaves the prompt's keys and values as `XR0.encode` gives them. The heads are not
part of the shipped weights.
Axes: B batch, N candidate, T chunk step, D action dimension, P named point.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from takt.policies.common.flow import masked_mean
from takt.policies.xr0.cache import PromptInputs, VLMCache
from takt.policies.xr0.model import XR0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceConfig:
    """Counts of the heads: one grounding query per view places `points_per_view` points in it."""

    candidates: int
    horizon: int
    views: int
    points_per_view: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceOutput:
    """One pass.

    Attributes:
        candidates: (B, N, T, D) normalised chunks.
        scores: (B, N) predicted L1 distances to the demonstrated chunk; the lowest is the choice.
        points: (B, P, 2) image coordinates x, y; P counts the points of the first view, then on.
        cache: The prompt's keys and values.
    """

    candidates: Tensor
    scores: Tensor
    points: Tensor
    cache: VLMCache

    def best(self) -> Tensor:
        """(B, T, D) candidate with the lowest predicted distance."""
        rows = torch.arange(len(self.scores), device=self.scores.device)
        return self.candidates[rows, self.scores.argmin(1)]


class ChoiceHeads(nn.Module):
    """Learnable tokens and read-outs beside an `XR0`."""

    def __init__(self, policy: XR0, config: ChoiceConfig) -> None:
        """Sized for `policy`, which is not kept."""
        super().__init__()
        self.config = config
        width, actions = policy.config.text.hidden_size, policy.config.action_dim
        self._shape = (config.horizon, config.candidates, actions)
        states = policy.config.state_length * policy.config.state_dim
        self.state_embedder = nn.Sequential(
            nn.Linear(states, width), nn.GELU(approximate="tanh"), nn.Linear(width, width)
        )
        tokens = config.horizon + 1 + config.views
        self.queries = nn.Parameter(torch.randn(tokens, width) * policy.config.initializer_range)
        self.action_head = nn.Linear(width, config.candidates * actions)
        self.score_head = nn.Linear(width, config.candidates)
        points = 2 * config.points_per_view
        self.point_head = nn.Linear(width, points) if points else None

    def forward(self, policy: XR0, inputs: PromptInputs, state: Tensor) -> ChoiceOutput:
        """One pass of the language model; `state` is (B, state_length, state_dim)."""
        batch, horizon = len(state), self.config.horizon
        state_token = self.state_embedder(state.flatten(1).to(self.queries.dtype)).unsqueeze(1)
        extra = torch.cat((state_token, self.queries.expand(batch, -1, -1)), dim=1)
        output = policy.run_language(inputs, extra)
        if output.hidden is None:
            raise AssertionError("run_language finishes the last layer when it gets extra tokens")
        hidden = output.hidden[:, -self.queries.shape[0] :]
        candidates = self.action_head(hidden[:, :horizon]).view(batch, *self._shape)
        points = hidden.new_zeros(batch, 0, 2)
        if self.point_head is not None:
            points = self.point_head(hidden[:, horizon + 1 :]).reshape(batch, -1, 2)
        return ChoiceOutput(
            candidates=candidates.transpose(1, 2),
            scores=self.score_head(hidden[:, horizon]),
            points=points,
            cache=policy.cache(inputs, output),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceLosses:
    """Scalars to be weighted by the caller."""

    action: Tensor
    score: Tensor


def choice_losses(output: ChoiceOutput, actions: Tensor, mask: Tensor) -> ChoiceLosses:
    """Winner-takes-all L1 and regression of the scores on the distances.

    Args:
        output: Of the heads.
        actions: (B, T, D) normalised demonstration.
        mask: (B, T, D), 1 where an action counts (`flow.loss_mask`).
    """
    error = (output.candidates - actions[:, None]).abs() * mask[:, None]
    distances = error.sum((2, 3)) / mask.sum((1, 2)).clamp_min(1)[:, None]
    return ChoiceLosses(
        action=distances.amin(1).mean(),
        score=functional.mse_loss(output.scores, distances.detach()),
    )


def point_loss(
    output: ChoiceOutput, points: Tensor, visible: Tensor, count: Tensor | None = None
) -> Tensor:
    """Masked L1 on (B, P, 2) coordinates; `visible` of the same shape is 1 on labelled ones.

    `count` as for `flow.masked_mean`.
    """
    return masked_mean((output.points - points).abs(), visible, count)
