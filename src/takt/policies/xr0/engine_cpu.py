"""The DiT's layers as a CPU runs them best in float32: kept buffers, and few calls.

At a chunk's sizes the calls, not the arithmetic, cost most. So every operation writes to a buffer
through views made once (fresh score matrices alone would double the softmax: page faults), weights
lie in the order that products of few rows read fastest, and a layer norm of [x, -x], whose mean is
zero, stands for the root-mean-square norm of x: one kernel in the place of five.
Axes: B batch, H head, S prompt token, q own token, row = B * q.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from takt.policies.xr0.dit import RMS_EPS, DiTLayer
from takt.policies.xr0.engine_attention import JointKV, Tables
from takt.policies.xr0.engine_layers import Modulation, stack
from takt.policies.xr0.engine_linear import Product, as_plain, fuse, product_of
from takt.policies.xr0.model import XR0
from takt.policies.xr0.quantisation import QuantisedLinear


@dataclass(frozen=True, slots=True)
class _Layer:
    """Products into kept buffers; norm weights for both halves of [x, -x]."""

    qkv: Product
    output: Product
    gate_up: Product
    down: Product
    middle: Tensor
    final: Tensor


class KeptLayers:
    """Same result as `FusedLayers`, valid until the next call."""

    def __init__(self, model: XR0, joint: list[JointKV], tables: Tables, mask: Tensor) -> None:
        """Over copies of the model's weights; `mask` is of `additive_mask`."""
        config, batch, tokens = model.config.dit, len(joint[0].keys), mask.shape[2]
        rows, width = batch * tokens, config.hidden_size
        qkv = mask.new_empty(rows, 3 * width)
        inner = mask.new_empty(rows, 2 * config.mlp_ratio * width)
        self._hidden = mask.new_empty(rows, width)
        self._both = mask.new_empty(rows, 2 * width)
        self._x, self._minus_x = self._both.chunk(2, dim=-1)
        self._gate, self._up = inner.chunk(2, dim=-1)
        self._attend = _Attention(joint, tables, mask, qkv)
        self._layers = [_prepare(layer, qkv, inner, self._hidden) for layer in stack(model)]

    def take(self, modulations: list[Modulation]) -> list[Modulation]:
        """Those of one step, in the form that a call wants."""
        return [
            replace(
                each,
                attention_norm=each.attention_norm.repeat(2),
                mlp_norm=each.mlp_norm.repeat(2),
            )
            for each in modulations
        ]

    def __call__(self, x: Tensor, modulations: list[Modulation]) -> Tensor:
        """(row, hidden) -> (row, hidden); own keys and values go to their buffers."""
        width = x.shape[1]
        stream = torch.cat((x, -x), dim=1)
        for number, (layer, fixed) in enumerate(zip(self._layers, modulations, strict=True)):
            layer.qkv(_norm(stream, fixed.attention_norm)[:, :width], fixed.qkv_bias)
            mixed = layer.output(self._attend(number), None)
            stream = self._add(stream[:, :width], fixed.attention_gate, mixed, layer.middle)
            layer.gate_up(_norm(stream, fixed.mlp_norm)[:, :width], fixed.gate_up_bias)
            inner = functional.silu(self._gate, inplace=True).mul_(self._up)
            mixed = layer.down(inner, None)
            stream = self._add(stream[:, :width], fixed.mlp_gate, mixed, layer.final)
        return stream[:, :width]

    def _add(self, x: Tensor, gate: Tensor, mixed: Tensor, norm: Tensor) -> Tensor:
        """norm([y, -y]) of y = x + gate * mixed."""
        torch.addcmul(x, gate, mixed, out=self._x)
        torch.neg(self._x, out=self._minus_x)
        return _norm(self._both, norm)


def _norm(both: Tensor, weight: Tensor) -> Tensor:
    return functional.layer_norm(both, weight.shape, weight, None, RMS_EPS)


def _prepare(layer: DiTLayer, qkv: Tensor, inner: Tensor, hidden: Tensor) -> _Layer:
    attention, mlp = layer.attn, layer.mlp
    return _Layer(
        qkv=_product_into(attention.qkv_proj, qkv),
        output=_product_into(attention.o_proj, hidden),
        gate_up=_product_into(fuse([mlp.gate_proj, mlp.up_proj]), inner),
        down=_product_into(mlp.down_proj, hidden),
        middle=layer.middle_layernorm.weight.detach().repeat(2),
        final=layer.final_layernorm.weight.detach().repeat(2),
    )


def _product_into(layer: nn.Module, out: Tensor) -> Product:
    """The layer's product, written to `out`."""
    if isinstance(layer, QuantisedLinear):
        product = product_of(layer)
        return lambda x, bias: out.copy_(product(x, bias))
    weight = as_plain(layer).weight.detach().t().contiguous()

    def multiply(x: Tensor, bias: Tensor | None) -> Tensor:
        if bias is None:
            return torch.mm(x, weight, out=out)
        return torch.addmm(bias, x, weight, out=out)

    return multiply


@dataclass(frozen=True, slots=True)
class _LayerViews:
    """Of one layer; keys are (B * H, head_dim, token), values (B * H, token, head_dim)."""

    joint: JointKV
    keys: Tensor
    values: Tensor
    cos: Tensor
    sin_first: Tensor
    sin_second: Tensor


class _Attention:
    """Softmax attention from one buffer to another; at these sizes 1.5 times as fast as SDPA."""

    def __init__(self, joint: list[JointKV], tables: Tables, mask: Tensor, qkv: Tensor) -> None:
        """`qkv` (row, 3 * hidden) is where the projection is written."""
        batch, heads, length, width = joint[0].keys.shape
        tokens, half = mask.shape[2], width // 2
        parts = qkv.view(batch, tokens, 3, heads, width)
        self._pair, self._own_value = parts[:, :, :2], parts[:, :, 2].transpose(1, 2)
        self._first, self._second = self._pair[..., :half], self._pair[..., half:]
        rotated = qkv.new_empty(2, batch, heads, tokens, width)
        self._query, self._own_key = rotated[0].flatten(0, 1), rotated[1]
        self._rotated = rotated.permute(1, 3, 0, 2, 4)
        self._rotated_first = self._rotated[..., :half]
        self._rotated_second = self._rotated[..., half:]
        self._scores = qkv.new_empty(batch * heads, tokens, length)
        self._mixed = torch.empty_like(self._query)
        self._mixed_heads = self._mixed.view(batch, heads, tokens, width).transpose(1, 2)
        self._merged = qkv.new_empty(batch * tokens, heads * width)
        self._merged_heads = self._merged.view(batch, tokens, heads, width)
        first = _first_hidden(mask)
        self._masked = self._scores.view(batch, heads, tokens, length)[..., first:]
        self._mask, self._eps = mask[..., first:], qkv.new_tensor(RMS_EPS)
        self._layers = [
            _LayerViews(
                joint=part,
                keys=part.keys.flatten(0, 1).transpose(1, 2),
                values=part.values.flatten(0, 1),
                cos=cos,
                sin_first=sin[..., :half],
                sin_second=sin[..., half:],
            )
            for part, cos, sin in zip(joint, tables.cos, tables.sin, strict=True)
        ]

    def __call__(self, layer: int) -> Tensor:
        """(row, hidden), valid until the next call."""
        views = self._layers[layer]
        self._rotate(views)
        views.joint.own_keys.copy_(self._own_key)
        views.joint.own_values.copy_(self._own_value)
        torch.bmm(self._query, views.keys, out=self._scores)
        self._masked.add_(self._mask)
        torch.softmax(self._scores, dim=-1, out=self._scores)
        torch.bmm(self._scores, views.values, out=self._mixed)
        self._merged_heads.copy_(self._mixed_heads)
        return self._merged

    def _rotate(self, views: _LayerViews) -> None:
        """Norm and rotate queries and keys into their buffer."""
        norm = torch.linalg.vector_norm(self._pair, dim=-1, keepdim=True)
        width = self._pair.shape[-1]
        inverse = torch.addcmul(self._eps, norm, norm, value=1 / width).rsqrt_()
        torch.mul(self._pair, views.cos, out=self._rotated)
        self._rotated_first.addcmul_(self._second, views.sin_first)
        self._rotated_second.addcmul_(self._first, views.sin_second)
        self._rotated.mul_(inverse)


def _first_hidden(mask: Tensor) -> int:
    """The first column that some token may not see: those before need no masking."""
    hidden = (mask != 0).flatten(0, 2).any(0).nonzero()
    return int(hidden[0]) if len(hidden) else mask.shape[-1] - 1
