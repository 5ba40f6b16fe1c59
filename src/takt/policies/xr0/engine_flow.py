"""The flow loop of one fixed shape: everything that no image or state can change is done before.

Same numbers as `XR0.sample` up to rounding. Modulations are constants of (step, layer): scales are
folded into the norm weights before a projection, shifts into its bias. The norm weights of queries
and keys and the softmax scale are folded into the rotary tables. Lead tokens gain nothing from a
pass of their own: their modulation changes with the step, and the rows of a chunk share each
weight's reading. Axes: B batch, S prompt token, q sink, state and action tokens, T chunk step.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from takt.policies.xr0.cache import VLMCache
from takt.policies.xr0.dit import DiTLayer
from takt.policies.xr0.engine_linear import fuse, input_major, project
from takt.policies.xr0.model import XR0

_EPS = 1e-6
_HIDDEN = -1e30
_ALIGNMENT = 16  # elements; fused attention kernels copy masks whose rows are not aligned


@dataclass(frozen=True, slots=True)
class _Layer:
    """Weights of one layer, and its buffers over [VLM, own] tokens."""

    qkv: nn.Module
    output: nn.Module
    gate_up: nn.Module
    down: nn.Module
    pair_norm: Tensor
    """(2, head_dim): norm weights of queries, with the softmax scale in, and of keys."""
    middle: Tensor
    final: Tensor
    keys: Tensor
    values: Tensor


@dataclass(frozen=True, slots=True)
class _Modulation:
    """Of one layer at one flow step, folded: norm weights, biases and gates."""

    attention_norm: Tensor
    qkv_bias: Tensor
    attention_gate: Tensor
    mlp_norm: Tensor
    gate_up_bias: Tensor
    mlp_gate: Tensor


class FlowLoop:
    """Integrates chunks over kept keys and values; all its inputs and outputs are fixed buffers.

    Call `load` after each VLM pass, `begin` with the inputs of a chunk, then the loop itself; the
    result is in `chunk`.
    """

    def __init__(self, model: XR0, cache: VLMCache, horizon: int, steps: int) -> None:
        """For prompts with the shape, positions and padding of `cache`."""
        config, like = model.config, model.sink.weight.detach()
        lead, self._head_dim = 1 + config.state_length, config.dit.head_dim
        self._heads, self._tokens = config.dit.num_heads, lead + horizon
        batch, self._prompt = cache.batch_size, cache.keys[0].shape[2]
        self._model, self._steps = model, steps
        self._shape_of = replace(cache, keys=cache.keys[:1], values=())
        self.state = like.new_zeros(batch, config.state_length, config.state_dim)
        self.chunk = like.new_zeros(batch, horizon, config.action_dim)
        self.action_mask = torch.zeros_like(self.chunk)
        self._gain = like.new_zeros(1, horizon, 1)
        stack = cast(list[DiTLayer], list(model.dit.layers))
        table = (len(stack), batch, self._tokens, 2, 1, self._head_dim)
        self._cos = torch.zeros(table, device=like.device)
        self._sin = torch.zeros_like(self._cos)
        self._layouts: dict[int, _Layout] = {}
        length = self._prompt + self._tokens
        room = (batch, self._heads, length, self._head_dim)
        self._layers = [
            _prepare(layer, like.new_zeros(room), like.new_zeros(room)) for layer in stack
        ]
        self._modulations = _modulations(model, self._layers, steps)
        self._mask = self._additive_mask()
        self._masked_from = self._prompt if cache.attention_mask is None else 0
        self._step: Callable[[Tensor, list[_Modulation]], None] = self._run_step
        self._scores = like.new_empty(2, batch * self._heads, self._tokens, length)

    def load(self, cache: VLMCache) -> None:
        """Keep the keys and values of a VLM pass."""
        for layer, key, value in zip(self._layers, cache.keys, cache.values, strict=True):
            kv_heads = key.shape[1]
            for buffer, prompt in ((layer.keys, key), (layer.values, value)):
                grouped = buffer[:, :, : self._prompt].unflatten(1, (kv_heads, -1))
                grouped.copy_(prompt.unsqueeze(2))

    def begin(
        self, state: Tensor, action_mask: Tensor, noise: Tensor, prefix: Tensor | None
    ) -> None:
        """Set the inputs of the next chunk; shapes as in `XR0.sample`."""
        committed = 0 if prefix is None else prefix.shape[1]
        self.state.copy_(state)
        self.action_mask.copy_(action_mask)
        self.chunk.copy_(noise)
        if prefix is not None:
            self.chunk[:, :committed] = prefix.to(self.chunk)
        if committed not in self._layouts:
            self._layouts[committed] = self._layout(committed)
        layout = self._layouts[committed]
        self._cos.copy_(layout.cos)
        self._sin.copy_(layout.sin)
        self._gain.copy_(layout.gain)

    def __call__(self) -> None:
        """Integrate `chunk` in place from noise to flow time 1."""
        lead = self._model.lead_tokens(self.state)
        for modulations in self._modulations:
            self._step(lead, modulations)

    def compile(self) -> None:
        """Let torch.compile fuse the step from now on."""
        self._step = torch.compile(self._run_step, dynamic=False)

    def _run_step(self, lead: Tensor, modulations: list[_Modulation]) -> None:
        """One Euler step."""
        batch, width = len(lead), lead.shape[2]
        actions = self._model.action_projector(self.chunk * self.action_mask)
        x = torch.cat((lead, actions), dim=1).view(-1, width)
        for number, (layer, fixed) in enumerate(zip(self._layers, modulations, strict=True)):
            qkv = project(layer.qkv, _rms_norm(x, fixed.attention_norm), fixed.qkv_bias)
            mixed = project(layer.output, self._attend(number, qkv))
            x = _rms_norm(torch.addcmul(x, fixed.attention_gate, mixed), layer.middle)
            inner = project(layer.gate_up, _rms_norm(x, fixed.mlp_norm), fixed.gate_up_bias)
            gate, up = inner.chunk(2, dim=-1)
            mixed = project(layer.down, functional.silu(gate).mul_(up))
            x = _rms_norm(torch.addcmul(x, fixed.mlp_gate, mixed), layer.final)
        hidden = x.view(batch, -1, width)[:, lead.shape[1] :]
        self.chunk.addcmul_(self._model.action_output_layer(hidden), self._gain)

    def _attend(self, number: int, qkv: Tensor) -> Tensor:
        """(B * q, 3 * hidden) -> (B * q, hidden); own keys and values join those of the prompt."""
        layer, rows = self._layers[number], len(qkv)
        qkv = qkv.view(-1, self._tokens, 3, self._heads, self._head_dim)
        pair = qkv[:, :, :2]
        norm = torch.linalg.vector_norm(pair, dim=-1, keepdim=True, dtype=torch.float32)
        inverse = norm.square_().div_(self._head_dim).add_(_EPS).rsqrt_()
        turned = pair.roll(self._head_dim // 2, dims=-1)
        pair = torch.addcmul(pair * self._cos[number], turned, self._sin[number]).mul_(inverse)
        layer.keys[:, :, self._prompt :] = pair[:, :, 1].transpose(1, 2)
        layer.values[:, :, self._prompt :] = qkv[:, :, 2].transpose(1, 2)
        query = pair[:, :, 0].transpose(1, 2).to(qkv.dtype)
        if qkv.device.type == "cpu":
            mixed = self._attend_in_place(query, layer)
        else:
            mixed = functional.scaled_dot_product_attention(
                query, layer.keys, layer.values, self._mask, scale=1.0
            )
        return mixed.transpose(1, 2).reshape(rows, -1)

    def _attend_in_place(self, query: Tensor, layer: _Layer) -> Tensor:
        """Softmax attention through kept score buffers, which a CPU finds faster than its SDPA."""
        scores, weights = self._scores
        flat = query.flatten(0, 1), layer.keys.flatten(0, 1), layer.values.flatten(0, 1)
        torch.bmm(flat[0], flat[1].transpose(1, 2), out=scores)
        masked = scores.view(*query.shape[:3], -1)[..., self._masked_from :]
        masked += self._mask[..., self._masked_from :]
        torch.softmax(scores, dim=-1, out=weights)
        return torch.bmm(weights, flat[2]).view_as(query)

    def _layout(self, committed: int) -> "_Layout":
        """What changes with the number of clean actions in front."""
        horizon, half = self.chunk.shape[1], self._head_dim // 2
        (cos, sin), _ = self._model.token_layout(self._shape_of, horizon, committed, torch.float32)
        sign = torch.ones(self._head_dim, device=cos.device)
        sign[:half] = -1
        weights = torch.stack([layer.pair_norm for layer in self._layers])
        weights = weights[:, None, None, :, None, :]  # (layer, batch, token, 2, head, head_dim)
        cos, sin = (x.squeeze(1)[None, :, :, None, None, :] for x in (cos, sin))
        noisy = torch.arange(horizon, device=cos.device) >= committed
        return _Layout(
            cos=cos * weights,
            sin=sin * sign * weights.roll(half, dims=-1),
            gain=noisy[None, :, None] / self._steps,
        )

    def _additive_mask(self) -> Tensor:
        """(B or 1, 1, q, S + q): 0 where a token may look; its rows are aligned in memory."""
        _, seen = self._model.token_layout(self._shape_of, self.chunk.shape[1], 0, torch.float32)
        length = seen.shape[3]
        room = -(-length // _ALIGNMENT) * _ALIGNMENT
        mask = self.chunk.new_zeros(*seen.shape[:3], room)[..., :length]
        return mask.masked_fill_(~seen, _HIDDEN)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Of chunks with one number of clean actions."""

    cos: Tensor
    """(layer, B, q, 2, 1, head_dim); 2: queries and keys."""
    sin: Tensor
    gain: Tensor
    """(1, T, 1): how much of the velocity is added."""


def _prepare(layer: DiTLayer, keys: Tensor, values: Tensor) -> _Layer:
    attention = layer.attn
    scale = attention.head_dim**-0.5
    norms = attention.q_norm.weight.detach() * scale, attention.k_norm.weight.detach()
    return _Layer(
        qkv=input_major(attention.qkv_proj),
        output=input_major(attention.o_proj),
        gate_up=input_major(fuse([layer.mlp.gate_proj, layer.mlp.up_proj])),
        down=input_major(layer.mlp.down_proj),
        pair_norm=torch.stack(norms).float(),
        middle=layer.middle_layernorm.weight.detach(),
        final=layer.final_layernorm.weight.detach(),
        keys=keys,
        values=values,
    )


def _modulations(model: XR0, layers: list[_Layer], steps: int) -> list[list[_Modulation]]:
    """Per step and layer."""
    tau = torch.arange(steps, device=model.sink.weight.device) / steps
    by_layer = model.dit.modulations(model.t_projector(model.t_embedder(tau)))
    stack = cast(list[DiTLayer], list(model.dit.layers))
    return [
        [_fold(*parts, rows[step]) for *parts, rows in zip(stack, layers, by_layer, strict=True)]  # pyright: ignore[reportCallIssue]
        for step in range(steps)
    ]


def _fold(layer: DiTLayer, prepared: _Layer, rows: Tensor) -> _Modulation:
    """`rows` is (6, hidden): shift, scale and gate of attention, then of the MLP."""
    shift1, scale1, gate1, shift2, scale2, gate2 = rows.unbind(0)
    return _Modulation(
        attention_norm=layer.input_layernorm.weight.detach() * (1 + scale1),
        qkv_bias=layer.attn.qkv_proj(shift1[None])[0],
        attention_gate=gate1.contiguous(),
        mlp_norm=layer.post_layernorm.weight.detach() * (1 + scale2),
        gate_up_bias=project(prepared.gate_up, shift2[None])[0],
        mlp_gate=gate2.contiguous(),
    )


def _rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    """`functional.rms_norm`, which on a CPU in float32 is slower than its parts."""
    if x.device.type != "cpu" or x.dtype != torch.float32:
        return functional.rms_norm(x, weight.shape, weight, _EPS)
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    inverse = norm.square_().div_(x.shape[-1]).add_(_EPS).rsqrt_()
    return (x * inverse).mul_(weight)
