"""The VLM pass of one fixed prompt layout: images and words in, keys and values out.

Same numbers as `XR0.encode`. Rotary tables, masks, resampled position embeddings and the rows of
image tokens are made once; the last layer stops at its keys and values.
Axes: B batch, S prompt token.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.qwen3_vl.modeling_qwen3_vl import (
    Qwen3VLTextDecoderLayer,
    Qwen3VLTextRMSNorm,
)

from takt.policies.common.kernels import attend, rms_norm
from takt.policies.common.qwen3_vl import VisualFeatures, run_vision, vision_layout
from takt.policies.common.rotary import rotate, text_rotary
from takt.policies.xr0.cache import PromptInputs, VLMCache
from takt.policies.xr0.engine_layout import ServedLayout
from takt.policies.xr0.engine_linear import fuse
from takt.policies.xr0.masks import causal_mask
from takt.policies.xr0.model import XR0

_KeysAndValues = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]
"""Each per layer (B, kv head, S, head_dim)."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """Weights of one language layer."""

    projection: nn.Module
    output: nn.Module
    gate_up: nn.Module
    down: nn.Module
    input_norm: Qwen3VLTextRMSNorm
    mlp_norm: Qwen3VLTextRMSNorm
    query_norm: Qwen3VLTextRMSNorm
    key_norm: Qwen3VLTextRMSNorm


class Prefill:
    """Vision and language over fixed buffers: `load` inputs, then `see`, then `read`."""

    def __init__(self, model: XR0, inputs: PromptInputs) -> None:
        """For prompts laid out as `inputs`, which are loaded."""
        config, device = model.config, model.sink.weight.device
        text = config.text
        self._vlm, self._config = model.vlm.model, config
        self._layout = ServedLayout.of(inputs, config)
        self._pixels = torch.empty(self._layout.pixel_shape, device=device, dtype=model.dtype)
        self._ids = torch.empty(self._layout.ids_shape, device=device, dtype=torch.long)
        self.load(inputs)
        self._vision_layout = vision_layout(self._vlm.visual, self._layout.grids, config.rotary)
        self._rows = self._layout.image_rows.to(device)
        positions, padding = self._layout.position_ids.to(device), self._layout.attention_mask
        self._rotary = text_rotary(
            positions,
            text.head_dim,
            text.rope_theta,
            text.mrope_section,
            config.rotary,
            model.dtype,
        )
        self._padding = None if padding is None else padding.to(device)
        self._mask = None if self._padding is None else causal_mask(self._padding)
        self._max_position = positions.amax(2)
        stack = cast(list[Qwen3VLTextDecoderLayer], list(self._vlm.language_model.layers))
        self._layers = [_prepare(layer, is_last=layer is stack[-1]) for layer in stack]
        self._vision: Callable[[], VisualFeatures] = self._run_vision
        self._language: Callable[[VisualFeatures], _KeysAndValues] = self._run_language
        self._visual: VisualFeatures | None = None

    def load(self, inputs: PromptInputs) -> None:
        """Set words and pixels; an `EngineError` if anything else of the prompt changed."""
        self._layout.require(ServedLayout.of(inputs, self._config))
        self._ids.copy_(inputs.input_ids, non_blocking=True)
        self._pixels.copy_(inputs.pixel_values, non_blocking=True)

    def see(self) -> None:
        """Run the vision tower."""
        self._visual = self._vision()

    def read(self) -> VLMCache:
        """Run the language model on what was seen."""
        if self._visual is None:
            raise AssertionError("see before read")
        keys, values = self._language(self._visual)
        return VLMCache(
            keys=keys,
            values=values,
            attention_mask=self._padding,
            max_position=self._max_position,
        )

    def compile(self) -> None:
        """Let torch.compile fuse both passes from now on."""
        self._vision = torch.compile(self._run_vision, dynamic=False)
        self._language = torch.compile(self._run_language, dynamic=False)

    def _run_vision(self) -> VisualFeatures:
        return run_vision(self._vlm.visual, self._pixels, self._vision_layout)

    def _run_language(self, visual: VisualFeatures) -> _KeysAndValues:
        words = self._vlm.language_model.embed_tokens(self._ids)
        x = words.flatten(0, 1).index_copy(0, self._rows, visual.embeds.to(words.dtype))
        keys, values, last = [], [], len(self._layers) - 1
        for number, layer in enumerate(self._layers):
            *queries, key, value = self._heads(layer, x)
            if number in self._config.kv_layers:
                keys.append(key)
                values.append(value)
            if number == last:
                break
            (query,) = queries
            mixed = attend(query, key, value, self._mask, causal=self._mask is None)
            x = x + layer.output(mixed.transpose(1, 2).reshape(len(x), -1))
            gate, up = layer.gate_up(_normed(layer.mlp_norm, x)).chunk(2, dim=-1)
            x = x + layer.down(functional.silu(gate) * up)
            if number < len(visual.deepstack):
                x = x.index_add(0, self._rows, visual.deepstack[number].to(x.dtype))
        return tuple(keys), tuple(values)

    def _heads(self, layer: _Layer, x: Tensor) -> list[Tensor]:
        """Of (B * S, hidden) rotated queries (but for the last layer) and keys, and values.

        Each (B, head, S, head_dim).
        """
        text = self._config.text
        projected = layer.projection(_normed(layer.input_norm, x))
        heads = projected.view(*self._ids.shape, -1, text.head_dim)
        shared = text.num_key_value_heads
        query, key, value = heads.split([heads.shape[2] - 2 * shared, shared, shared], dim=2)
        normed = [_normed(layer.query_norm, query)] if query.shape[2] else []
        normed.append(_normed(layer.key_norm, key))
        return [*(rotate(x.transpose(1, 2), self._rotary) for x in normed), value.transpose(1, 2)]


def _prepare(layer: Qwen3VLTextDecoderLayer, *, is_last: bool) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    queries = [] if is_last else [attention.q_proj]  # nothing reads what they would find there
    return _Layer(
        projection=fuse([*queries, attention.k_proj, attention.v_proj]),
        output=attention.o_proj,
        gate_up=fuse([mlp.gate_proj, mlp.up_proj]),
        down=mlp.down_proj,
        input_norm=layer.input_layernorm,
        mlp_norm=layer.post_attention_layernorm,
        query_norm=attention.q_norm,
        key_norm=attention.k_norm,
    )


def _normed(norm: Qwen3VLTextRMSNorm, x: Tensor) -> Tensor:
    return rms_norm(x, norm.weight, norm.variance_epsilon)
