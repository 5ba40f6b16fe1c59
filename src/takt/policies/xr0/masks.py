"""Who may look at whom, and at which position each DiT token stands."""

import torch
from torch import Tensor

from takt.policies.xr0.config import Contract


def causal_mask(attention_mask: Tensor) -> Tensor:
    """(B, 1, S, S) boolean: earlier real tokens; padding sees itself, so that no row is empty."""
    length = attention_mask.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=attention_mask.device).tril()
    itself = torch.eye(length, dtype=torch.bool, device=attention_mask.device)
    return (causal & attention_mask.bool()[:, None, None, :]) | itself


def dit_mask(
    prompt_mask: Tensor | None,
    prompt: int,
    lead: int,
    horizon: int,
    contract: Contract,
    device: torch.device,
) -> Tensor:
    """Rows: sink and state (`lead` tokens), then actions. Columns: prompt, then the same tokens.

    Everyone sees the real prompt tokens. Lead tokens are causal among themselves; actions see all
    of them and the earlier actions, at most `contract.local_window` steps back.

    Returns:
        (B or 1, 1, lead + horizon, prompt + lead + horizon) boolean.
    """
    step = torch.arange(lead + horizon, device=device)
    age = step[:, None] - step[None, :]
    own = age >= 0
    if contract.local_window is not None:
        own = own & ((age <= contract.local_window) | (step[None, :] < lead))
    own = own[None, None]
    if prompt_mask is None:
        seen = own.new_ones(1, 1, lead + horizon, prompt)
        return torch.cat((seen, own), dim=3)
    seen = prompt_mask.bool()[:, None, None, :].expand(-1, 1, lead + horizon, prompt)
    return torch.cat((seen, own.expand(len(seen), -1, -1, -1)), dim=3)


def hide_prefix(mask: Tensor, hidden: Tensor, prefix_length: int | Tensor) -> Tensor:
    """`mask` of `dit_mask` in which noisy actions no longer see `hidden` clean ones.

    Clean actions still see each other: what is hidden is the way around the observation.

    Args:
        mask: (B or 1, 1, query, key), whose last queries and keys are the actions.
        hidden: (B or 1, T) boolean; its entries on noisy actions are ignored.
        prefix_length: Clean actions at the front, one number or (B,).
    """
    horizon = hidden.shape[1]
    step = torch.arange(horizon, device=mask.device)
    clean = step < torch.as_tensor(prefix_length, device=mask.device).reshape(-1, 1)
    blocked = ~clean[:, :, None] & (hidden & clean)[:, None, :]
    rows = max(len(mask), len(blocked))
    mask = mask.expand(rows, -1, -1, -1).clone()
    mask[:, :, -horizon:, -horizon:] &= ~blocked[:, None]
    return mask


def dit_positions(
    max_position: Tensor, lead: int, horizon: int, prefix_length: int | Tensor, offset: int
) -> Tensor:
    """(3, B, lead + horizon) positions after the prompt; noisy actions stand `offset` further.

    Args:
        max_position: (3, B) highest prompt position.
        lead: Sink and state tokens.
        horizon: Action tokens.
        prefix_length: Clean actions at the front, one number or (B,).
        offset: Of the contract.
    """
    token = torch.arange(lead + horizon, device=max_position.device)
    first_noisy = torch.as_tensor(prefix_length, device=max_position.device).reshape(-1, 1) + lead
    shift = torch.where(token >= first_noisy, offset, 0)
    return max_position[..., None] + 1 + token + shift
