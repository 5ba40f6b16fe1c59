"""The Qwen3-VL forward pass over transformers' modules, laid out for a policy.

Same weights and numbers as transformers' own forward (tested), but: images of one size run as one
batch, keys and values come out as tensors with gradients, and the last layer may stop at them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional
from transformers.models.qwen3_vl.modeling_qwen3_vl import (
    Qwen3VLTextAttention,
    Qwen3VLTextDecoderLayer,
    Qwen3VLTextModel,
    Qwen3VLTextRMSNorm,
    Qwen3VLVisionBlock,
    Qwen3VLVisionModel,
)

from takt.policies.common.kernels import attend, rms_norm
from takt.policies.common.layers import run_layer
from takt.policies.common.rotary import Precision, Rotary, rotate, vision_rotary
from takt.policies.common.vision_positions import Grid, position_embedding


@dataclass(frozen=True, slots=True)
class VisualFeatures:
    """Merged image tokens in prompt order; `deepstack[i]` is added after text layer i."""

    embeds: Tensor
    """(visual token, text hidden)"""
    deepstack: tuple[Tensor, ...]
    """Each (visual token, text hidden)."""


@dataclass(frozen=True, slots=True)
class TextOutput:
    """Keys and values (batch, kv head, token, head_dim) by layer; `hidden` the normed tail."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    hidden: Tensor | None


@dataclass(frozen=True, slots=True)
class VisionLayout:
    """What the tower needs to know of its images beside their pixels.

    One entry per run: a single one over all images where their sizes are equal, else one each.
    """

    images: tuple[int, ...]
    """Images in the run."""
    positions: tuple[Tensor, ...]
    """Each (patch, hidden), added to the patch embeddings."""
    rotary: tuple[Rotary, ...]


def vision_layout(
    visual: Qwen3VLVisionModel, grids: list[Grid], precision: Precision
) -> VisionLayout:
    """The layout of images whose patch rows and columns are `grids`."""
    config = visual.config
    head_dim = config.hidden_size // config.num_heads
    device = visual.pos_embed.weight.device
    equal = len(set(grids)) == 1
    runs = grids[:1] if equal else grids
    table, merge = visual.pos_embed.weight, config.spatial_merge_size
    rotary = []
    for grid in runs:
        cos, sin = vision_rotary(*grid, merge, head_dim, precision)
        rotary.append((cos.to(device), sin.to(device)))
    return VisionLayout(
        images=(len(grids),) if equal else (1,) * len(grids),
        positions=tuple(position_embedding(table, grid, merge) for grid in runs),
        rotary=tuple(rotary),
    )


def encode_images(
    visual: Qwen3VLVisionModel, pixel_values: Tensor, grids: list[Grid], precision: Precision
) -> VisualFeatures:
    """Visual tokens of images in prompt order; equal sizes run together wherever they stand.

    Args:
        visual: The tower.
        pixel_values: (sum of rows * columns, channel * time * patch * patch), Qwen order.
        grids: Patch rows and columns per image.
        precision: Of the rotary frequencies.
    """
    if len(set(grids)) in (1, len(grids)):
        return run_vision(visual, pixel_values, vision_layout(visual, grids, precision))
    images = pixel_values.split([rows * columns for rows, columns in grids])
    levels: dict[int, tuple[Tensor, ...]] = {}
    for grid in dict.fromkeys(grids):
        members = [number for number, other in enumerate(grids) if other == grid]
        layout = vision_layout(visual, [grid] * len(members), precision)
        features = run_vision(visual, torch.cat([images[i] for i in members]), layout)
        parts = [x.chunk(len(members)) for x in (*features.deepstack, features.embeds)]
        levels |= dict(zip(members, zip(*parts, strict=True), strict=True))
    in_order = [levels[number] for number in range(len(grids))]
    joined = [torch.cat(level) for level in zip(*in_order, strict=True)]
    return VisualFeatures(joined[-1], tuple(joined[:-1]))


def run_vision(
    visual: Qwen3VLVisionModel, pixel_values: Tensor, layout: VisionLayout
) -> VisualFeatures:
    """As `encode_images`, with everything that depends on the image sizes only made before."""
    sizes = [n * len(x) for n, x in zip(layout.images, layout.positions, strict=True)]
    runs = [
        _encode_equal_images(visual, part.view(images, len(position), -1), position, rotary)
        for part, images, position, rotary in zip(
            pixel_values.split(sizes), layout.images, layout.positions, layout.rotary, strict=True
        )
    ]
    joined = [torch.cat([x.flatten(0, 1) for x in level]) for level in zip(*runs, strict=True)]
    return VisualFeatures(joined[-1], tuple(joined[:-1]))


def _encode_equal_images(
    visual: Qwen3VLVisionModel, patches: Tensor, position: Tensor, rotary: Rotary
) -> list[Tensor]:
    """(image, token, text hidden) per deepstack level, then the merged output."""
    config = visual.config
    embed = visual.patch_embed.proj
    weight = embed.weight.flatten(1)
    x = functional.linear(patches.to(weight.dtype), weight, embed.bias)
    x = x + position.to(x.dtype)
    levels = []
    for number, block in enumerate(cast(list[Qwen3VLVisionBlock], visual.blocks)):
        x = run_layer(block, _vision_block, x, rotary)
        if number in config.deepstack_visual_indexes:
            merger = visual.deepstack_merger_list[config.deepstack_visual_indexes.index(number)]
            levels.append(_merge(merger, x))
    return [*levels, _merge(visual.merger, x)]


def _vision_block(block: Qwen3VLVisionBlock, x: Tensor, rotary: Rotary) -> Tensor:
    attention = block.attn
    images, patches, width = x.shape
    qkv = attention.qkv(block.norm1(x)).view(images, patches, 3, attention.num_heads, -1)
    query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    query = rotate(query.float(), rotary).to(x.dtype)
    key = rotate(key.float(), rotary).to(x.dtype)
    mixed = attend(query, key, value)
    x = x + attention.proj(mixed.transpose(1, 2).reshape(images, patches, width))
    return x + block.mlp(block.norm2(x))


def _merge(merger: torch.nn.Module, x: Tensor) -> Tensor:
    images, patches, _ = x.shape
    merged = merger(x.flatten(0, 1))
    return merged.view(images, -1, merged.shape[-1])


def run_text(
    model: Qwen3VLTextModel,
    embeds: Tensor,
    rotary: Rotary,
    mask: Tensor | None,
    deepstack: tuple[Tensor, ...],
    visual_rows: Tensor,
    *,
    first_layer: int = 0,
    tail: int = 0,
) -> TextOutput:
    """Run the language model over token embeddings.

    Args:
        model: The language model.
        embeds: (batch, token, hidden), image tokens already in place.
        rotary: cos and sin, (batch, 1, token, head_dim).
        mask: (batch, 1, token, token) boolean, or None for plain causal attention.
        deepstack: Features added to the visual tokens after the first layers.
        visual_rows: Their rows in the flattened (batch * token) axis, in order.
        first_layer: Keys and values are kept from this layer on.
        tail: Trailing tokens whose final hidden state is wanted; the last layer skips the others.
    """
    keys, values = [], []
    x, last = embeds, len(model.layers) - 1
    for number, layer in enumerate(model.layers):
        wanted = tail if number == last else x.shape[1]
        x, key, value = run_layer(layer, _text_layer, x, rotary, mask, wanted)
        if number >= first_layer:
            keys.append(key)
            values.append(value)
        if number < min(len(deepstack), last):
            flat = x.flatten(0, 1).index_add(0, visual_rows, deepstack[number].to(x.dtype))
            x = flat.view_as(x)
    hidden = _normed(model.norm, x) if tail else None
    return TextOutput(tuple(keys), tuple(values), hidden)


def continue_text(
    model: Qwen3VLTextModel,
    embeds: Tensor,
    rotary: Rotary,
    keys: Sequence[Tensor],
    values: Sequence[Tensor],
    length: int,
) -> Tensor:
    """One more token after the `length` that the buffers hold; its keys and values join them.

    Args:
        model: The language model.
        embeds: (batch, 1, hidden) of the token.
        rotary: Its cos and sin, (batch, 1, 1, head_dim).
        keys: Per layer a buffer (batch, kv head, capacity > length, head_dim).
        values: Like keys.
        length: Tokens before this one.

    Returns:
        (batch, 1, hidden) after the final norm.
    """
    x = embeds
    seen = torch.ones(1, length + 1, dtype=torch.bool, device=x.device)
    layers = cast(list[Qwen3VLTextDecoderLayer], model.layers)
    for layer, all_keys, all_values in zip(layers, keys, values, strict=True):
        normed = _normed(layer.input_layernorm, x)
        key, value = _key_value(layer.self_attn, normed, rotary)
        all_keys[:, :, length : length + 1] = key
        all_values[:, :, length : length + 1] = value
        past = all_keys[:, :, : length + 1], all_values[:, :, : length + 1]
        x = x + _attend(layer.self_attn, normed, *past, rotary, seen)
        x = x + layer.mlp(_normed(layer.post_attention_layernorm, x))
    return _normed(model.norm, x)


def _text_layer(
    layer: Qwen3VLTextDecoderLayer, x: Tensor, rotary: Rotary, mask: Tensor | None, wanted: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Output of the `wanted` trailing tokens, keys and values of all."""
    normed = _normed(layer.input_layernorm, x)
    key, value = _key_value(layer.self_attn, normed, rotary)
    length = x.shape[1]
    if not wanted:
        return x[:, :0], key, value
    if wanted < length:
        x = x[:, -wanted:]
        normed = _normed(layer.input_layernorm, x)
        rotary = rotary[0][:, :, -wanted:], rotary[1][:, :, -wanted:]
        if mask is None:
            mask = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        mask = mask[..., -wanted:, :]
    x = x + _attend(layer.self_attn, normed, key, value, rotary, mask)
    x = x + layer.mlp(_normed(layer.post_attention_layernorm, x))
    return x, key, value


def _normed(norm: Qwen3VLTextRMSNorm, x: Tensor) -> Tensor:
    return rms_norm(x, norm.weight, norm.variance_epsilon)


def _key_value(attention: Qwen3VLTextAttention, x: Tensor, rotary: Rotary) -> tuple[Tensor, Tensor]:
    shape = (*x.shape[:2], -1, attention.head_dim)
    key = _normed(attention.k_norm, attention.k_proj(x).view(shape)).transpose(1, 2)
    value = attention.v_proj(x).view(shape).transpose(1, 2)
    return rotate(key, rotary), value


def _attend(
    attention: Qwen3VLTextAttention,
    x: Tensor,
    key: Tensor,
    value: Tensor,
    rotary: Rotary,
    mask: Tensor | None,
) -> Tensor:
    shape = (*x.shape[:2], -1, attention.head_dim)
    query = _normed(attention.q_norm, attention.q_proj(x).view(shape)).transpose(1, 2)
    mixed = attend(rotate(query, rotary), key, value, mask, causal=mask is None)
    return attention.o_proj(mixed.transpose(1, 2).flatten(2))
