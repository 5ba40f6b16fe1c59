"""The random part of a flow stage's batch, drawn apart from the loss so that it can be given.

Axes: N noise draw (sample times draws), T chunk step, D action dimension.
"""

from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor

from takt.policies.common.flow import MAX_TAU, draw_noise, draw_prefix_length, draw_tau
from takt.training.flow_objective import (
    BetaTime,
    Each,
    FlowObjective,
    LogitNormalTime,
    PaperPrefix,
    ReleasedHiding,
    ReleasedPrefix,
    Time,
    UniformTime,
)
from takt.training.shards import Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowDraws:
    """What chance decided.

    Attributes:
        tau: (N,) flow times.
        noise: (N, T, D).
        prefix_length: (N,) clean actions in front.
        hidden: (N or 1, T) boolean, prefix tokens that noisy actions may not see; None hides none.
        is_prefixed: Whether any sample of the whole batch has a prefix: the same on every rank.
    """

    tau: Tensor
    noise: Tensor
    prefix_length: Tensor
    hidden: Tensor | None
    is_prefixed: bool

    def part(self, shard: Shard, device: torch.device) -> "FlowDraws":
        """Those of one part of the batch, on `device`."""
        hidden = self.hidden
        if hidden is not None and len(hidden) == len(self.tau):
            hidden = shard.part(hidden)
        return FlowDraws(
            tau=shard.part(self.tau).to(device),
            noise=shard.part(self.noise).to(device),
            prefix_length=shard.part(self.prefix_length).to(device),
            hidden=None if hidden is None else hidden.to(device),
            is_prefixed=self.is_prefixed,
        )


def draw(
    objective: FlowObjective, max_prefix: int, actions: Tensor, generator: torch.Generator
) -> FlowDraws:
    """Draws for `actions` (N, T, D), prefixes of at most `max_prefix`."""
    count = len(actions)
    tau = _draw_time(objective.time, count, generator)
    noise = draw_noise(actions, generator)
    length = _draw_length(objective.prefix if max_prefix else None, count, max_prefix, generator)
    hidden = None
    if objective.hiding is not None and max_prefix:
        hiding, horizon = objective.hiding, actions.shape[1]
        shape = (_rows(hiding.each, count), min(max_prefix, horizon))
        uniform = torch.rand(shape, generator=generator, device=generator.device)
        hidden = hide(hiding, uniform, length, horizon)
    return FlowDraws(
        tau=tau,
        noise=noise,
        prefix_length=length,
        hidden=hidden,
        is_prefixed=bool(length.any()),
    )


def hide(hiding: ReleasedHiding, uniform: Tensor, length: Tensor, horizon: int) -> Tensor:
    """(N, `horizon`) prefix tokens to hide.

    Args:
        hiding: With what probability, and how many of the last ones are always seen.
        uniform: (N or 1, P) uniform draws for the first P tokens; the others are seen.
        length: (N,) clean actions in front.
        horizon: T.
    """
    chosen = torch.nn.functional.pad(uniform < hiding.probability, (0, horizon - uniform.shape[1]))
    step = torch.arange(horizon, device=length.device)
    return chosen & (step < (length - hiding.keep)[:, None])


def _draw_time(time: Time, count: int, generator: torch.Generator) -> Tensor:
    match time:
        case BetaTime():
            return draw_tau(count, generator, time.alpha)
        case LogitNormalTime():
            normal = torch.randn(count, generator=generator, device=generator.device)
            return MAX_TAU * (time.mean + time.std * normal).sigmoid()
        case UniformTime():
            return MAX_TAU * torch.rand(count, generator=generator, device=generator.device)
        case _:
            assert_never(time)


def _draw_length(
    law: PaperPrefix | ReleasedPrefix | None, count: int, longest: int, generator: torch.Generator
) -> Tensor:
    device = generator.device
    match law:
        case None:
            return torch.zeros(count, dtype=torch.long, device=device)
        case PaperPrefix():
            shape = (_rows(law.each, count),)
            drawn = torch.randint(0, longest + 1, shape, generator=generator, device=device)
        case ReleasedPrefix():
            rows = _rows(law.each, count)
            drawn = draw_prefix_length(rows, longest, generator, law.probability)
        case _:
            assert_never(law)
    return drawn.expand(count)


def _rows(each: Each, count: int) -> int:
    return count if each == "sample" else 1
