"""Flow matching: time draws, interpolation, target and masked losses.

z = (1 - tau) * noise + tau * action, and the model predicts d z / d tau = action - noise.
Axes: B batch, T chunk step, D action dimension.
"""

import torch
from torch import Tensor

MAX_TAU = 0.999


def draw_tau(count: int, generator: torch.Generator, alpha: float = 1.5) -> Tensor:
    """(count,) flow times 0.999 * (1 - u), u ~ Beta(alpha, 1): more weight on noisy times.

    Beta(a, 1) has the distribution function u ** a: a power of a uniform draw samples it exactly.
    """
    uniform = torch.rand(count, generator=generator, device=generator.device)
    return noisy_time(uniform ** (1 / alpha))


def noisy_time(share: Tensor) -> Tensor:
    """Flow time at which `share` in [0, 1] of the chunk is noise, never quite the clean action."""
    return MAX_TAU * (1 - share)


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


def masked_mean(error: Tensor, mask: Tensor, count: Tensor | None = None) -> Tensor:
    """Mean of `error` where the mask is 1; 0 where it is nowhere.

    `count` is divided by instead of the mask's sum where the mask is part of a larger one.
    """
    return (error * mask).sum() / (mask.sum().clamp_min(1) if count is None else count)


def flow_loss(
    velocity: Tensor, actions: Tensor, noise: Tensor, mask: Tensor, count: Tensor | None = None
) -> Tensor:
    """Masked mean squared error to the straight-line velocity `actions - noise`."""
    return masked_mean((velocity - (actions - noise)) ** 2, mask, count)


def online_error_weight(raw: Tensor, mean: Tensor, seen: Tensor, low: float, high: float) -> Tensor:
    """`raw` over its mean where it is seen, else raw; all of it clamped to low..high.

    Clamping what is not seen shows only in `spectral_error` over all columns, as released.

    Args:
        raw: (B, T, D) |online prediction - actions|; 1 on samples without a prefix.
        mean: Masked mean of `raw` over what is seen.
        seen: (B, T, D), 1 where the loss looks at a sample with a prefix.
        low: Smallest weight.
        high: Largest weight.
    """
    share = raw / mean.clamp_min(torch.finfo(raw.dtype).tiny)
    return torch.where(seen > 0, share, raw).clamp(low, high)


def spectral_error(
    error: Tensor, weight: Tensor, mask: Tensor, prefix_length: Tensor
) -> tuple[Tensor, Tensor]:
    """|rfft over the noisy steps| of `error` (B, T, D), each sample's by its mean `weight`.

    Returns:
        Sum over samples, frequencies and the columns that `mask` (B, T, D) shows anywhere, and the
        number of summands.
    """
    total, count = error.new_zeros(()), mask.new_zeros(())
    for clean in prefix_length.unique().tolist():  # the spectrum's length follows the prefix's
        rows = prefix_length == clean
        shown = mask[rows, clean:]
        if not shown.numel():
            continue
        spectrum = torch.fft.rfft((error[rows, clean:] * shown).float(), dim=1).abs()
        columns = shown.amax(1, keepdim=True)
        gain = (weight[rows, clean:] * shown).sum((1, 2)) / shown.sum((1, 2)).clamp_min(1)
        total = total + (spectrum * columns * gain[:, None, None]).sum()
        count = count + columns.sum() * spectrum.shape[1]
    return total, count
