"""The DiT's attention over [VLM, own] keys and values that are never moved.

The norm weights of queries and keys and the softmax scale come folded into the rotary tables:
rotate(w * x * r) = (x * (w * cos) + swap_halves(x) * (swap_halves(w) * +-sin)) * r, where r, the
inverse root mean square, is one number per token and head.
Axes: B batch, H head, S prompt token, q own token; "pair" is queries and keys side by side.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from takt.policies.xr0.dit import RMS_EPS

_ALIGNMENT = 16
_HIDDEN = -1e30


@dataclass(frozen=True, slots=True)
class Tables:
    """Folded rotary tables of all layers, each (layer, B, q, 2, 1, head_dim)."""

    cos: Tensor
    sin: Tensor

    def clone(self) -> "Tables":
        """A copy to be overwritten."""
        return Tables(self.cos.clone(), self.sin.clone())


def fold_tables(cos: Tensor, sin: Tensor, weights: Tensor) -> Tables:
    """Fold norm weights (layer, 2, head_dim) into cos and sin (B, 1, q, head_dim)."""
    half = weights.shape[-1] // 2
    sign = torch.ones(weights.shape[-1], device=cos.device)
    sign[:half] = -1
    weights = weights[:, None, None, :, None, :]
    cos, sin = (table.squeeze(1)[None, :, :, None, None, :] for table in (cos, sin))
    return Tables(cos * weights, sin * sign * weights.roll(half, dims=-1))


class JointKV:
    """Keys and values of one layer, (B, H, S + q + padding, head_dim): the prompt's, then its own.

    Zeros pad the tokens to a multiple of 16, for they are the rows of score matrices: kernels slow
    down on rows that are not aligned. The mask hides them.
    """

    def __init__(self, like: Tensor, batch: int, heads: int, prompt: int, own: int) -> None:
        """Zeros; `like` gives dtype and device, and its last axis head_dim."""
        shape = (batch, heads, -(-(prompt + own) // _ALIGNMENT) * _ALIGNMENT, like.shape[-1])
        self._prompt, self._own = prompt, slice(prompt, prompt + own)
        self.keys, self.values = like.new_zeros(shape), like.new_zeros(shape)
        self.own_keys, self.own_values = self.keys[:, :, self._own], self.values[:, :, self._own]

    def load(self, key: Tensor, value: Tensor) -> None:
        """Set the prompt's part from (B, kv head, S, head_dim); heads of a group share theirs."""
        for buffer, prompt in ((self.keys, key), (self.values, value)):
            grouped = buffer[:, :, : self._prompt].unflatten(1, (key.shape[1], -1))
            grouped.copy_(prompt.unsqueeze(2))


class FusedAttention:
    """For a GPU or a compiler: new tensors and the library's fused kernel."""

    def __init__(self, joint: list[JointKV], tables: Tables, mask: Tensor) -> None:
        """Over buffers; `mask` is of `additive_mask`."""
        self._joint, self._tables, self._mask = joint, tables, mask

    def __call__(self, layer: int, qkv: Tensor) -> Tensor:
        """(B * q, 3 * hidden) -> (B * q, hidden)."""
        joint, cos, sin = self._joint[layer], self._tables.cos[layer], self._tables.sin[layer]
        batch, tokens, _, _, width = cos.shape
        parts = qkv.view(batch, tokens, 3, -1, width)
        pair = parts[:, :, :2].float()
        inverse = torch.rsqrt(pair.square().mean(-1, keepdim=True) + RMS_EPS)
        pair = (pair * cos + pair.roll(width // 2, dims=-1) * sin) * inverse
        query, key = pair.to(qkv.dtype).permute(2, 0, 3, 1, 4).unbind(0)
        joint.own_keys.copy_(key)
        joint.own_values.copy_(parts[:, :, 2].transpose(1, 2))
        mixed = functional.scaled_dot_product_attention(
            query, joint.keys, joint.values, self._mask, scale=1.0
        )
        return mixed.transpose(1, 2).reshape(len(qkv), -1)


def additive_mask(seen: Tensor, joint: JointKV) -> Tensor:
    """0 where `seen` (B or 1, 1, q, S + q) is true, else and on the padding a large negative."""
    padded = functional.pad(seen, (0, joint.keys.shape[2] - seen.shape[3]))
    mask = joint.keys.new_zeros(padded.shape)
    return mask.masked_fill_(~padded, max(_HIDDEN, torch.finfo(mask.dtype).min))
