"""Qwen3-VL up to its keys and values, written down plainly: see `reference`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from takt.policies.xr0.config import XR0Config

VISION, TEXT = "vlm.model.visual", "vlm.model.language_model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One prompt without padding.

    Attributes:
        ids: Its tokens, one image token per merged patch.
        grids: Rows and columns of patches of each image, in prompt order.
        patches: Per image (patch, channel * time * side * side), merge blocks contiguous.
    """

    ids: Sequence[int]
    grids: Sequence[tuple[int, int]]
    patches: Sequence[Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A read prompt: (kv head, token, head_dim) by VLM layer, and the highest position per axis."""

    keys: list[Tensor]
    values: list[Tensor]
    last_position: tuple[int, int, int]


class PlainQwen3VL:
    """Reads prompts; `weights` is a released state dict."""

    def __init__(self, config: XR0Config, weights: dict[str, Tensor]) -> None:
        self.config = config
        self.weights = weights

    def weight(self, name: str) -> Tensor:
        return self.weights[name].double()

    def linear(self, name: str, x: Tensor) -> Tensor:
        y = x @ self.weight(f"{name}.weight").T
        return y + self.weight(f"{name}.bias") if f"{name}.bias" in self.weights else y

    def layer_norm(self, name: str, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / ((centred**2).mean(-1, keepdim=True) + 1e-6).sqrt()
        return scaled * self.weight(f"{name}.weight") + self.weight(f"{name}.bias")

    def rms_norm(self, name: str, x: Tensor) -> Tensor:
        return x / ((x**2).mean(-1, keepdim=True) + 1e-6).sqrt() * self.weight(f"{name}.weight")

    def swiglu(self, name: str, x: Tensor) -> Tensor:
        gate = self.linear(f"{name}.gate_proj", x)
        inner = gate * torch.sigmoid(gate) * self.linear(f"{name}.up_proj", x)
        return self.linear(f"{name}.down_proj", inner)

    def see(self, patches: Tensor, grid: tuple[int, int]) -> list[Tensor]:
        """(patch, ...) of one image -> (visual token, text hidden) by level, merged output last."""
        sizes = self.config.vision
        cells = block_order(*grid, sizes.spatial_merge_size)
        kernel = self.weight(f"{VISION}.patch_embed.proj.weight").flatten(1)
        x = patches.double() @ kernel.T + self.weight(f"{VISION}.patch_embed.proj.bias")
        x = x + torch.stack([self.position(cell, grid) for cell in cells])
        angles = vision_angles(cells, sizes.hidden_size // sizes.num_heads)
        levels = []
        for number in range(sizes.depth):
            name = f"{VISION}.blocks.{number}"
            x = x + self.vision_attention(
                f"{name}.attn", self.layer_norm(f"{name}.norm1", x), angles
            )
            inner = self.linear(f"{name}.mlp.linear_fc1", self.layer_norm(f"{name}.norm2", x))
            x = x + self.linear(f"{name}.mlp.linear_fc2", gelu_tanh(inner))
            if number in sizes.deepstack_visual_indexes:
                merger = f"deepstack_merger_list.{len(levels)}"
                levels.append(self.merge(f"{VISION}.{merger}", x, norm_first=False))
        return [*levels, self.merge(f"{VISION}.merger", x, norm_first=True)]

    def position(self, cell: tuple[int, int], grid: tuple[int, int]) -> Tensor:
        """Bilinear between the four nearest cells; corners of image and table coincide."""
        table = self.weights[f"{VISION}.pos_embed.weight"]
        side = math.isqrt(len(table))
        y, x = (
            index * (side - 1) / (count - 1) if count > 1 else 0.0
            for index, count in zip(cell, grid, strict=True)
        )
        total = torch.zeros(table.shape[1], dtype=torch.float64)
        for row in (math.floor(y), math.floor(y) + 1):
            for column in (math.floor(x), math.floor(x) + 1):
                share = (1 - abs(y - row)) * (1 - abs(x - column))
                if share > 0:
                    total += share * table[row * side + column].double()
        return total

    def vision_attention(self, name: str, x: Tensor, angles: Tensor) -> Tensor:
        heads = self.config.vision.num_heads
        query, key, value = self.linear(f"{name}.qkv", x).chunk(3, dim=-1)
        mixed = [
            softmax_mix(rotate(q, angles), rotate(k, angles), v, torch.ones(len(x), len(x)))
            for q, k, v in zip(
                query.chunk(heads, 1), key.chunk(heads, 1), value.chunk(heads, 1), strict=True
            )
        ]
        return self.linear(f"{name}.proj", torch.cat(mixed, dim=1))

    def merge(self, name: str, x: Tensor, *, norm_first: bool) -> Tensor:
        rows = len(x) // self.config.vision.spatial_merge_size**2
        if norm_first:
            x = self.layer_norm(f"{name}.norm", x).reshape(rows, -1)
        else:
            x = self.layer_norm(f"{name}.norm", x.reshape(rows, -1))
        inner = self.linear(f"{name}.linear_fc1", x)
        return self.linear(f"{name}.linear_fc2", inner * 0.5 * (1 + torch.erf(inner / 2**0.5)))

    def read(self, prompt: Prompt) -> Reading:
        """Keys and values of every language layer; the rest of the last layer is not needed."""
        ids = torch.tensor(prompt.ids)
        seen = [self.see(x, grid) for x, grid in zip(prompt.patches, prompt.grids, strict=True)]
        *deepstack, embeds = (torch.cat(level) for level in zip(*seen, strict=True))
        visual = [i for i, token in enumerate(prompt.ids) if token == self.config.token_ids.image]
        x = self.weights[f"{TEXT}.embed_tokens.weight"][ids].double()
        x[visual] = embeds
        positions = self.prompt_positions(prompt)
        angles = self.text_angles(positions)
        keys, values = [], []
        for number in range(self.config.text.num_hidden_layers):
            name = f"{TEXT}.layers.{number}"
            normed = self.rms_norm(f"{name}.input_layernorm", x)
            key, value = self.key_value(f"{name}.self_attn", normed, angles)
            keys.append(torch.stack(key))
            values.append(torch.stack(value))
            if number == self.config.text.num_hidden_layers - 1:
                break
            x = x + self.text_attention(f"{name}.self_attn", normed, key, value, angles)
            x = x + self.swiglu(f"{name}.mlp", self.rms_norm(f"{name}.post_attention_layernorm", x))
            if number < len(deepstack):
                x[visual] += deepstack[number]
        last = [max(axis) for axis in zip(*positions, strict=True)]
        return Reading(keys=keys, values=values, last_position=(last[0], last[1], last[2]))

    def key_value(self, name: str, x: Tensor, angles: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        key = self.heads(f"{name}.k_norm", self.linear(f"{name}.k_proj", x))
        value = self.linear(f"{name}.v_proj", x).split(self.config.text.head_dim, dim=1)
        return [rotate(head, angles) for head in key], list(value)

    def text_attention(
        self, name: str, x: Tensor, key: list[Tensor], value: list[Tensor], angles: Tensor
    ) -> Tensor:
        query = self.heads(f"{name}.q_norm", self.linear(f"{name}.q_proj", x))
        group, causal = len(query) // len(key), torch.ones(len(x), len(x)).tril()
        mixed = [
            softmax_mix(rotate(head, angles), key[i // group], value[i // group], causal)
            for i, head in enumerate(query)
        ]
        return self.linear(f"{name}.o_proj", torch.cat(mixed, dim=1))

    def heads(self, norm: str, x: Tensor) -> list[Tensor]:
        """(token, heads * head_dim) -> normed heads, each (token, head_dim)."""
        return [self.rms_norm(norm, head) for head in x.split(self.config.text.head_dim, dim=1)]

    def prompt_positions(self, prompt: Prompt) -> list[tuple[int, int, int]]:
        """Time, height, width by token: text counts on all, an image spans its merged grid."""
        merge, images = self.config.vision.spatial_merge_size, iter(prompt.grids)
        positions: list[tuple[int, int, int]] = []
        while len(positions) < len(prompt.ids):
            start = 1 + max((max(position) for position in positions), default=-1)
            if prompt.ids[len(positions)] != self.config.token_ids.image:
                positions.append((start, start, start))
                continue
            rows, columns = next(images)
            for row in range(rows // merge):
                for column in range(columns // merge):
                    positions.append((start, start + row, start + column))
        return positions

    def text_angles(self, positions: Sequence[tuple[int, int, int]]) -> Tensor:
        """(token, head_dim / 2); axes take turns until height and width have had their share."""
        sizes = self.config.text
        angles = torch.zeros(len(positions), sizes.head_dim // 2, dtype=torch.float64)
        for token, position in enumerate(positions):
            for i in range(sizes.head_dim // 2):
                axis = i % 3 if i // 3 < sizes.mrope_section[i % 3] else 0
                frequency = sizes.rope_theta ** (-2 * i / sizes.head_dim)
                angles[token, i] = position[axis] * frequency
        return angles


def gelu_tanh(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """(token, head_dim): dimension i turns with dimension i + head_dim / 2."""
    first, second = x.chunk(2, dim=1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=1)


def softmax_mix(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """One head of attention."""
    scores = query @ key.T / math.sqrt(query.shape[1])
    weights = scores.exp() * mask
    return weights / weights.sum(1, keepdim=True) @ value


def block_order(rows: int, columns: int, merge: int) -> list[tuple[int, int]]:
    """Patch coordinates in the order in which they come."""
    return [
        (row + i, column + j)
        for row in range(0, rows, merge)
        for column in range(0, columns, merge)
        for i in range(merge)
        for j in range(merge)
    ]


def vision_angles(cells: Sequence[tuple[int, int]], head_dim: int) -> Tensor:
    """(patch, head_dim / 2): the first half turns with the row, the second with the column."""
    count = head_dim // 4
    frequencies = [10_000.0 ** (-i / count) for i in range(count)]
    rows = [[cell[axis] * f for axis in (0, 1) for f in frequencies] for cell in cells]
    return torch.tensor(rows, dtype=torch.float64)
