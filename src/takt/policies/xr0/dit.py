"""The action expert: a transformer whose attention reads the VLM's keys and values.

Module names are the released state-dict keys. Axes: batch, token (sink, state, actions), hidden.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from takt.policies.common.kernels import add_product, attend, rms_norm
from takt.policies.common.layers import run_layer
from takt.policies.common.rotary import Rotary, rotate
from takt.policies.xr0.config import DiTConfig

Join = Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]]
"""(layer, own keys, own values) -> those of [VLM, own], (batch, head, token, head_dim)."""

TIME_FREQUENCIES = 256
RMS_EPS = 1e-6
# Frequencies within 0.03 ulp of a tie, which the released code's recorded runs round up.
_TIES_ROUNDED_UP = (12, 106)
_MODULATIONS = 6  # shift, scale, gate of attention, then of the MLP


class Projector(nn.Module):
    """Two linear maps with a tanh-GELU between."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        """Widths of the three stages."""
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, hidden, bias=False),
            nn.GELU(approximate="tanh"),
            nn.Linear(hidden, outputs, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        return self.layers(x)


class TimeEmbedder(nn.Module):
    """Sinusoids of the flow time (cosine first), then an MLP."""

    def __init__(self, hidden: int) -> None:
        """`hidden` is the DiT's width."""
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(TIME_FREQUENCIES, hidden, bias=False),
            nn.SiLU(),
            nn.Linear(hidden, hidden, bias=False),
        )

    def forward(self, tau: Tensor) -> Tensor:
        """(batch,) flow time in [0, 1] -> (batch, hidden)."""
        angles = tau.float()[:, None] * 1000 * _time_frequencies().to(tau.device)
        waves = torch.cat((angles.cos(), angles.sin()), dim=-1)
        return self.mlp(waves.to(next(self.parameters()).dtype))


@cache
@torch.inference_mode(mode=False)  # else training after an inference could not use the tensor kept
def _time_frequencies() -> Tensor:
    """(128,) float32, geometric from 1 towards 1e-4.

    The same bits on every machine: a float32 exp differs between CPUs in its last bit, and angles
    of 1000 times the frequency carry that into the velocity (1e-4 at late flow times).
    """
    half = TIME_FREQUENCIES // 2
    exponent = -math.log(10_000) * torch.arange(half, dtype=torch.float32, device="cpu") / half
    frequencies = exponent.double().exp().float()
    ties = list(_TIES_ROUNDED_UP)
    frequencies[ties] = frequencies[ties].nextafter(torch.ones(len(ties), device="cpu"))
    return frequencies


class TimeProjector(nn.Module):
    """Time embedding -> the six modulations that all layers share."""

    def __init__(self, hidden: int) -> None:
        """`hidden` is the DiT's width."""
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(hidden, _MODULATIONS * hidden))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, hidden) -> (batch, 6, hidden)."""
        return self.layers(x).unflatten(-1, (_MODULATIONS, -1))


class RMSNorm(nn.Module):
    """Root-mean-square norm with a weight."""

    def __init__(self, width: int) -> None:
        """Over the last axis of `width`."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        return rms_norm(x, self.weight, RMS_EPS)


class Attention(nn.Module):
    """One softmax over [VLM, own] keys; queries and own keys are normed, then rotated."""

    def __init__(self, config: DiTConfig) -> None:
        """Sized by `config`."""
        super().__init__()
        width = config.hidden_size
        self.head_dim = config.head_dim
        self.qkv_proj = nn.Linear(width, 3 * width)
        self.o_proj = nn.Linear(width, width, bias=False)
        self.q_norm = RMSNorm(config.head_dim)
        self.k_norm = RMSNorm(config.head_dim)

    def forward(self, x: Tensor, rotary: Rotary, mask: Tensor, layer: int, join: Join) -> Tensor:
        """(batch, token, hidden) -> same; `mask` is True where a token may look."""
        qkv = self.qkv_proj(x).view(*x.shape[:2], 3, -1, self.head_dim)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        query = rotate(self.q_norm(query), rotary)
        key = rotate(self.k_norm(key), rotary)
        keys, values = join(layer, key, value)
        mixed = attend(query, keys, values, mask)
        return self.o_proj(mixed.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, config: DiTConfig) -> None:
        """Sized by `config`."""
        super().__init__()
        width, inner = config.hidden_size, config.mlp_ratio * config.hidden_size
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class DiTLayer(nn.Module):
    """Modulated attention and MLP; the residual stream itself is normed after each."""

    def __init__(self, config: DiTConfig) -> None:
        """Sized by `config`."""
        super().__init__()
        width = config.hidden_size
        self.attn = Attention(config)
        self.mlp = FeedForward(config)
        self.input_layernorm = RMSNorm(width)
        self.middle_layernorm = RMSNorm(width)
        self.post_layernorm = RMSNorm(width)
        self.final_layernorm = RMSNorm(width)
        self.adaln_table = nn.Parameter(torch.randn(_MODULATIONS, width) / math.sqrt(width))

    def forward(
        self,
        x: Tensor,
        modulation: Tensor,
        rotary: Rotary,
        mask: Tensor,
        layer: int,
        join: Join,
    ) -> Tensor:
        """(batch, token, hidden) -> same.

        `modulation`, table added, is (batch or 1, 6, hidden), or (batch or 1, 6, token, hidden)
        where tokens stand at different flow times.
        """
        by_token = modulation if modulation.ndim == 4 else modulation.unsqueeze(2)
        shift1, scale1, gate1, shift2, scale2, gate2 = by_token.unbind(1)
        normed = add_product(shift1, 1 + scale1, self.input_layernorm(x))
        x = add_product(x, gate1, self.attn(normed, rotary, mask, layer, join))
        x = self.middle_layernorm(x)
        normed = add_product(shift2, 1 + scale2, self.post_layernorm(x))
        x = add_product(x, gate2, self.mlp(normed))
        return self.final_layernorm(x)


class DiT(nn.Module):
    """The stack of layers."""

    def __init__(self, config: DiTConfig) -> None:
        """Sized by `config`."""
        super().__init__()
        self.layers = nn.ModuleList(DiTLayer(config) for _ in range(config.num_hidden_layers))

    def modulations(self, time: Tensor) -> Tensor:
        """Shared (batch, 6, hidden) modulation -> (layer, batch, 6, hidden), tables added."""
        tables = torch.stack([layer.adaln_table for layer in self._stack()])
        return tables.unsqueeze(1) + time

    def forward(
        self, x: Tensor, modulations: Tensor, rotary: Rotary, mask: Tensor, join: Join
    ) -> Tensor:
        """(batch, token, hidden) through all layers; `modulations` from the method of that name."""
        for number, layer in enumerate(self._stack()):
            given = modulations[number], rotary, mask, number, join
            x = run_layer(layer, DiTLayer.forward, x, *given)
        return x

    def _stack(self) -> list[DiTLayer]:
        return cast(list[DiTLayer], list(self.layers))
