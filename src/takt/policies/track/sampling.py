"""From noise to a chunk: plain, after a clean prefix, guided towards the old plan, streamed.

Axes: B batch, T chunk step, D action dimension. Chunks are normalised.
"""

import math

import torch
from torch import Tensor

from takt.policies.track.config import STREAMED
from takt.policies.track.model import TrackDiT

MAX_GUIDANCE = 5.0
"""Beta of real-time chunking, as published."""
_STREAM_POWER = 0.6  # how fast the later actions' finishing times fall to the end


@torch.no_grad()
def sample(model: TrackDiT, state: Tensor, noise: Tensor, prefix: Tensor | None = None) -> Tensor:
    """(B, T, D) by Euler steps.

    Args:
        model: The network.
        state: (B, state), normalised.
        noise: (B, T, D).
        prefix: (B, P, D) clean actions that come back in front.
    """
    chunk, steps = noise.clone(), model.config.flow_steps
    length = 0 if prefix is None else prefix.shape[1]
    if prefix is not None:
        chunk[:, :length] = prefix
    for step in range(steps):
        chunk += model.velocity(state, chunk, _time(step / steps, noise), length) / steps
    return chunk


def guidance_weights(horizon: int, committed: int, known: int) -> Tensor:
    """(T,) weights of real-time chunking's soft mask, as published.

    1 on the `committed` actions, falling to 0 where the old plan ends after `known` of them.
    """
    step = torch.arange(horizon)
    share = ((known - step) / (known - committed + 1)).clamp(0, 1)
    soft = share * torch.expm1(share) / (math.e - 1)
    return torch.where(step < committed, 1.0, torch.where(step < known, soft, 0.0))


def sample_guided(
    model: TrackDiT, state: Tensor, noise: Tensor, old: Tensor, weights: Tensor
) -> Tensor:
    """(B, T, D), guided by vector-Jacobian products towards `old` (real-time chunking).

    Args:
        model: The network.
        state: (B, state), normalised.
        noise: (B, T, D).
        old: (B, T, D) what the old plan says; anything where its weight is 0.
        weights: (B or 1, T).
    """
    chunk, steps = noise, model.config.flow_steps
    for step in range(steps):
        tau = step / steps
        with torch.enable_grad():
            given = chunk.detach().requires_grad_()
            velocity = model.velocity(state, given, _time(tau, noise))
            finished = given + (1 - tau) * velocity
            error = ((old - finished) * weights[..., None]).detach()
            (pull,) = torch.autograd.grad(finished, given, error)
        spread = (1 - tau) ** 2 / (tau**2 + (1 - tau) ** 2)
        strength = min(MAX_GUIDANCE, (1 - tau) / (tau * spread)) if tau else MAX_GUIDANCE
        chunk = (given + (velocity + strength * pull) / steps).detach()
    return chunk


def streaming_times(noise_share: Tensor, horizon: int, steps: int) -> Tensor:
    """(B, T) flow times of a chunk whose first actions are finished after one of `steps` steps.

    A horizon-aware schedule (FASTER): action i is finished when the chunk's own share of noise
    has fallen to u_i, which falls from 1 - 1 / steps on the leading actions to 0 on the last.

    Args:
        noise_share: (B,) of the chunk, 1 at the start and 0 at the end.
        horizon: T.
        steps: Flow steps.
    """
    later = torch.arange(horizon, device=noise_share.device) - (STREAMED - 1)
    place = (later.clamp_min(0) / (horizon - STREAMED)) ** _STREAM_POWER
    hit = (1 - 1 / steps) * (1 - place)
    return 1 - ((noise_share[:, None] - hit) / (1 - hit)).clamp(0, 1)


@torch.no_grad()
def sample_streamed(model: TrackDiT, state: Tensor, noise: Tensor) -> Tensor:
    """(B, T, D); its first `STREAMED` actions are what they are after one flow step."""
    chunk, steps = noise.clone(), model.config.flow_steps
    shares = 1 - torch.arange(steps + 1, device=noise.device) / steps
    times = streaming_times(shares, noise.shape[1], steps)
    for step in range(steps):
        ahead = (times[step + 1] - times[step])[None, :, None]
        chunk += model.velocity(state, chunk, times[step : step + 1]) * ahead
    return chunk


def _time(tau: float, like: Tensor) -> Tensor:
    return torch.full((1,), tau, device=like.device)
