"""The DiT's layers as a GPU or a compiler runs them best, and their folded constants.

Modulations are constants of (flow step, layer): scales are folded into the norm weight before a
projection, shifts into its bias. Axes: row = B * q, token of any chunk of the batch.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from takt.policies.xr0.dit import RMS_EPS, DiTLayer
from takt.policies.xr0.engine_attention import FusedAttention, JointKV, Tables
from takt.policies.xr0.engine_linear import Product, fuse, product_of
from takt.policies.xr0.model import XR0


@dataclass(frozen=True, slots=True)
class Modulation:
    """Of one layer at one flow step, folded: norm weights, biases and gates."""

    attention_norm: Tensor
    qkv_bias: Tensor
    attention_gate: Tensor
    mlp_norm: Tensor
    gate_up_bias: Tensor
    mlp_gate: Tensor


def fold_modulations(model: XR0, steps: int) -> list[list[Modulation]]:
    """Per flow step and layer."""
    tau = torch.arange(steps, device=model.sink.weight.device) / steps
    by_layer = model.dit.modulations(model.t_projector(model.t_embedder(tau)))
    return [
        [_fold(layer, rows[step]) for layer, rows in zip(stack(model), by_layer, strict=True)]
        for step in range(steps)
    ]


def _fold(layer: DiTLayer, rows: Tensor) -> Modulation:
    """`rows` is (6, hidden): shift, scale and gate of attention, then of the MLP."""
    shift1, scale1, gate1, shift2, scale2, gate2 = rows.unbind(0)
    gate, up = layer.mlp.gate_proj(shift2), layer.mlp.up_proj(shift2)
    return Modulation(
        attention_norm=layer.input_layernorm.weight.detach() * (1 + scale1),
        qkv_bias=layer.attn.qkv_proj(shift1),
        attention_gate=gate1.contiguous(),
        mlp_norm=layer.post_layernorm.weight.detach() * (1 + scale2),
        gate_up_bias=torch.cat((gate, up)),
        mlp_gate=gate2.contiguous(),
    )


def stack(model: XR0) -> list[DiTLayer]:
    """The DiT's layers, typed."""
    return cast(list[DiTLayer], list(model.dit.layers))


@dataclass(frozen=True, slots=True)
class _Layer:
    qkv: Product
    output: Product
    gate_up: Product
    down: Product
    middle: Tensor
    final: Tensor


class FusedLayers:
    """Few, large operations on new tensors: what CUDA graphs and torch.compile take well."""

    def __init__(self, model: XR0, joint: list[JointKV], tables: Tables, mask: Tensor) -> None:
        """Over the model's weights; `mask` is of `additive_mask`."""
        self._attend = FusedAttention(joint, tables, mask)
        self._layers = [_prepare(layer) for layer in stack(model)]

    def take(self, modulations: list[Modulation]) -> list[Modulation]:
        """Those of one step, in the form that a call wants."""
        return modulations

    def __call__(self, x: Tensor, modulations: list[Modulation]) -> Tensor:
        """(row, hidden) -> (row, hidden); own keys and values go to their buffers."""
        for number, (layer, fixed) in enumerate(zip(self._layers, modulations, strict=True)):
            qkv = layer.qkv(_norm(x, fixed.attention_norm), fixed.qkv_bias)
            mixed = layer.output(self._attend(number, qkv), None)
            x = _norm(torch.addcmul(x, fixed.attention_gate, mixed), layer.middle)
            inner = layer.gate_up(_norm(x, fixed.mlp_norm), fixed.gate_up_bias)
            gate, up = inner.chunk(2, dim=-1)
            mixed = layer.down(functional.silu(gate) * up, None)
            x = _norm(torch.addcmul(x, fixed.mlp_gate, mixed), layer.final)
        return x


def _prepare(layer: DiTLayer) -> _Layer:
    attention, mlp = layer.attn, layer.mlp
    return _Layer(
        qkv=product_of(attention.qkv_proj),
        output=product_of(attention.o_proj),
        gate_up=product_of(fuse([mlp.gate_proj, mlp.up_proj])),
        down=product_of(mlp.down_proj),
        middle=layer.middle_layernorm.weight.detach(),
        final=layer.final_layernorm.weight.detach(),
    )


def _norm(x: Tensor, weight: Tensor) -> Tensor:
    return functional.rms_norm(x, weight.shape, weight, RMS_EPS)
