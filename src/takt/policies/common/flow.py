"""Flow matching: time draws, interpolation, target and masked losses.

z = (1 - tau) * noise + tau * action, and the model predicts d z / d tau = action - noise.
Axes: B batch, T chunk step, D action dimension.
"""

import torch
from torch import Tensor

_MAX_TAU = 0.999
_BETA = (1.5, 1.0)


def draw_tau(count: int, generator: torch.Generator) -> Tensor:
    """(count,) flow times 0.999 * (1 - u), u ~ Beta(1.5, 1): more weight on noisy times.

    Beta(a, 1) has the distribution function u ** a: a power of a uniform draw samples it exactly.
    """
    uniform = torch.rand(count, generator=generator, device=generator.device)
    return _MAX_TAU * (1 - uniform ** (1 / _BETA[0]))


def draw_noise(actions: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal noise of the shape and dtype of `actions`."""
    return torch.randn(
        actions.shape, generator=generator, device=actions.device, dtype=actions.dtype
    )


def draw_prefix_length(
    count: int, longest: int, generator: torch.Generator, probability: float = 0.5
) -> Tensor:
    """(count,) integers as the released trainer draws them: 0, or uniform in 1..`longest`."""
    device = generator.device
    lengths = torch.randint(1, longest + 1, (count,), generator=generator, device=device)
    chosen = torch.rand(count, generator=generator, device=device) < probability
    return torch.where(chosen, lengths, 0)


def interpolate(
    actions: Tensor, noise: Tensor, tau: Tensor, prefix_length: Tensor | None = None
) -> Tensor:
    """(B, T, D) chunk at (B,) times; the first `prefix_length` (B,) actions stay clean."""
    noisy = torch.lerp(noise, actions, tau.to(actions.dtype)[:, None, None])
    if prefix_length is None:
        return noisy
    return torch.where(prefix_rows(prefix_length, actions.shape[1]), actions, noisy)


def prefix_rows(prefix_length: Tensor, horizon: int) -> Tensor:
    """(B, T, 1) boolean, True on the clean actions in front."""
    return (torch.arange(horizon, device=prefix_length.device) < prefix_length[:, None])[..., None]


def loss_mask(action_mask: Tensor, valid: Tensor, prefix_length: Tensor | None = None) -> Tensor:
    """(B, T, D) float mask of what a loss may see.

    Args:
        action_mask: (B or 1, T, D); 0 on dimensions the body lacks.
        valid: (B, T); False on steps padded past the episode's end.
        prefix_length: (B,) clean actions, which are given and not predicted.
    """
    mask = action_mask * valid[..., None].to(action_mask.dtype)
    if prefix_length is None:
        return mask
    return mask.masked_fill(prefix_rows(prefix_length, mask.shape[1]), 0)


def masked_mean(error: Tensor, mask: Tensor) -> Tensor:
    """Mean of `error` where the mask is 1; 0 where it is nowhere."""
    return (error * mask).sum() / mask.sum().clamp_min(1)


def flow_loss(velocity: Tensor, actions: Tensor, noise: Tensor, mask: Tensor) -> Tensor:
    """Masked mean squared error to the straight-line velocity `actions - noise`."""
    return masked_mean((velocity - (actions - noise)) ** 2, mask)
