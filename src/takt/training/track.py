"""How the networks of the tracking task are trained: one loop and budget, four objectives.

Axes: N sample, T chunk step, D action dimension.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from takt.policies.common import flow
from takt.policies.track.config import Network
from takt.policies.track.model import TrackDiT
from takt.policies.track.sampling import streaming_times
from takt.training.flow_draws import FlowDraws, draw
from takt.training.flow_objective import SYNCHRONOUS, FlowObjective, OnlineError, ReleasedPrefix
from takt.training.shards import WHOLE, Shard
from takt.training.stage import Stage

_PREFIX = ReleasedPrefix(each="sample")
OBJECTIVES: dict[Network, FlowObjective] = {
    "plain": SYNCHRONOUS,
    "training_time_rtc": FlowObjective(prefix=_PREFIX),
    "lambda": FlowObjective(prefix=_PREFIX, weight=OnlineError()),
    "streaming": SYNCHRONOUS,
}
_STREAMED_SHARE = 0.5  # of the samples of the streaming network; the others have one time
_NO_SPREAD = 1e-4  # of a column that never changes


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """N states and what was done from there on.

    Attributes:
        states: (N, T, state), the first is what a chunk is planned from.
        actions: (N, T, D) absolute.
        slips: (N, T + 1), how many of the actions before each step are nothing to imitate.
    """

    states: Tensor
    actions: Tensor
    slips: Tensor

    def valid(self, prefix_length: Tensor) -> Tensor:
        """(N, T), False from the first slip behind a prefix of (N,) actions on."""
        before = self.slips.gather(1, prefix_length[:, None])
        return self.slips[:, 1:] == before

    def to(self, device: torch.device) -> Self:
        """On `device`."""
        return replace(
            self,
            states=self.states.to(device),
            actions=self.actions.to(device),
            slips=self.slips.to(device),
        )


class WindowSource:
    """Windows of demonstrations, drawn evenly."""

    def __init__(
        self, states: np.ndarray, actions: np.ndarray, slipped: np.ndarray, horizon: int
    ) -> None:
        """(E, tick, state), (E, tick, D), (E, tick) of E episodes."""
        self._states, self._actions = torch.from_numpy(states), torch.from_numpy(actions)
        self._slips = torch.from_numpy(np.cumsum(slipped, axis=1))
        self._slips = torch.nn.functional.pad(self._slips, (1, 0))
        self._horizon = horizon

    def draw(self, size: int, generator: torch.Generator, shard: Shard = WHOLE) -> Windows:
        """The part `shard` of `size` windows."""
        episodes, ticks = self._actions.shape[:2]
        episode = torch.randint(episodes, (size,), generator=generator)
        first = torch.randint(ticks - self._horizon + 1, (size,), generator=generator)
        episode, first = episode[shard.rows(size)], first[shard.rows(size)]
        rows = episode[:, None], first[:, None] + torch.arange(self._horizon)
        counted = first[:, None] + torch.arange(self._horizon + 1)
        return Windows(
            states=self._states[rows],
            actions=self._actions[rows],
            slips=self._slips[episode[:, None], counted],
        )


def fit_statistics(model: TrackDiT, source: WindowSource, seed: int, size: int = 20_000) -> None:
    """Means and spreads of states and, by step, of actions seen from where the body was."""
    drawn = source.draw(size, torch.Generator().manual_seed(seed))
    state, axes = drawn.states[:, 0], model.config.action_dim
    relative = drawn.actions - state[:, None, :axes]
    nothing = torch.zeros(size, dtype=torch.long)
    shown = drawn.valid(nothing)[..., None].float()
    count = shown.sum(0)
    mean = (relative * shown).sum(0) / count
    spread = (((relative - mean) ** 2 * shown).sum(0) / count).sqrt()
    features = model.features(state)
    model.state_mean.copy_(features.mean(0))
    model.state_std.copy_(features.std(0).clamp_min(_NO_SPREAD))
    model.action_mean.copy_(mean)
    model.action_std.copy_(spread.clamp_min(_NO_SPREAD))


class TrackFlow(Stage[Windows]):
    """Flow matching under the network's own objective."""

    policy: TrackDiT

    def __init__(self, model: TrackDiT) -> None:
        super().__init__()
        self.policy = model  # pyright: ignore[reportIncompatibleVariableOverride]
        self._objective = OBJECTIVES[model.config.network]

    def trainable(self) -> list[nn.Parameter]:
        """All of it."""
        return list(self.policy.parameters())

    def losses(self, batch: Windows, generator: torch.Generator) -> dict[str, Tensor]:
        """`loss` of one batch."""
        model, objective = self.policy, self._objective
        place = batch.states[:, 0, : model.config.action_dim]
        state, actions = model.normalised(batch.states[:, 0]), model.encode(batch.actions, place)
        draws = draw(objective, model.config.contract.max_prefix, actions, generator)
        time = self._times(draws, generator)
        by_action = time if time.ndim == 2 else time[:, None].expand(-1, actions.shape[1])
        noisy = torch.lerp(draws.noise, actions, by_action[..., None])
        clean = flow.prefix_rows(draws.prefix_length, actions.shape[1])
        noisy = torch.where(clean, actions, noisy)
        velocity = model.velocity(state, noisy, time, draws.prefix_length, draws.hidden)
        ones = torch.ones_like(actions[:1])
        mask = flow.loss_mask(ones, batch.valid(draws.prefix_length), draws.prefix_length)
        if time.ndim == 2:  # a finished action has nothing to learn
            mask = mask * (time < flow.MAX_TAU)[..., None]
        error = (velocity - (actions - draws.noise)) ** 2
        if objective.weight is not None and draws.is_prefixed:
            error = error * self._weight(state, actions, mask, draws)
        return {"loss": flow.masked_mean(error, mask)}

    def _times(self, draws: FlowDraws, generator: torch.Generator) -> Tensor:
        """(N,) flow times, or (N, T) where some chunks are streamed."""
        if self.policy.config.network != "streaming":
            return draws.tau
        horizon, steps = self.policy.config.horizon, self.policy.config.flow_steps
        streamed = torch.rand(len(draws.tau), 1, generator=generator) < _STREAMED_SHARE
        times = streaming_times(1 - draws.tau, horizon, steps)
        return torch.where(streamed, times, draws.tau[:, None])

    @torch.no_grad()
    def _weight(self, state: Tensor, actions: Tensor, mask: Tensor, draws: FlowDraws) -> Tensor:
        """By how wrong the policy is now (paper section 2.3), 1 without a prefix."""
        law, steps = self._objective.weight, self.policy.config.flow_steps
        assert law is not None
        rows = draws.prefix_length.nonzero().squeeze(1)
        length, seen = draws.prefix_length[rows], mask[rows]
        clean = flow.prefix_rows(length, actions.shape[1])
        chunk = torch.where(clean, actions[rows], draws.noise[rows])
        for step in range(steps):
            tau = torch.full((1,), step / steps)
            chunk = chunk + self.policy.velocity(state[rows], chunk, tau, length) / steps
        raw = (chunk - actions[rows]).abs()
        mean = flow.masked_mean(raw, seen)
        weight = torch.ones_like(actions)
        weight[rows] = flow.online_error_weight(raw, mean, seen, law.low, law.high)
        return weight
