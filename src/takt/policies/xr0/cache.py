"""What the VLM hands to the DiT, and how the DiT joins its own keys and values to it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptInputs:
    """A batch of tokenised prompts with their images.

    Attributes:
        input_ids: (batch, token) integers.
        attention_mask: (batch, token); 0 marks padding on either side. None: no padding anywhere.
        pixel_values: (patch, channel * time * side * side) in Qwen order, images in prompt order.
        image_grid_thw: (image, 3) patches along time, height and width.
        position_ids: (3, batch, token) rotary positions.
    """

    input_ids: Tensor
    attention_mask: Tensor | None
    pixel_values: Tensor
    image_grid_thw: Tensor
    position_ids: Tensor

    def to(self, device: torch.device) -> "PromptInputs":
        """The same on `device`, less the grid: its numbers are read one by one."""
        mask = self.attention_mask
        return replace(
            self,
            input_ids=self.input_ids.to(device),
            attention_mask=None if mask is None else mask.to(device),
            pixel_values=self.pixel_values.to(device),
            position_ids=self.position_ids.to(device),
        )


def stack_prompts(prompts: Sequence[PromptInputs]) -> PromptInputs:
    """One batch of prompts of the same length without padding."""
    if len(prompts) == 1:
        return prompts[0]
    return PromptInputs(
        input_ids=torch.cat([prompt.input_ids for prompt in prompts]),
        attention_mask=None,
        pixel_values=torch.cat([prompt.pixel_values for prompt in prompts]),
        image_grid_thw=torch.cat([prompt.image_grid_thw for prompt in prompts]),
        position_ids=torch.cat([prompt.position_ids for prompt in prompts], dim=1),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class VLMCache:
    """Keys and values of the prompt for each DiT layer.

    Attributes:
        keys: Per DiT layer (batch, kv head, token, head_dim), rotated; any float dtype.
        values: Like keys.
        attention_mask: (batch, token) boolean, or None without padding.
        max_position: (3, batch) highest rotary position of the prompt per axis.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    attention_mask: Tensor | None
    max_position: Tensor

    @property
    def batch_size(self) -> int:
        """Number of prompts."""
        return self.max_position.shape[1]

    def repeat(self, times: int) -> "VLMCache":
        """Each prompt `times` in a row, so that several noise draws share one VLM pass."""
        mask = self.attention_mask
        return VLMCache(
            keys=tuple(key.repeat_interleave(times, 0) for key in self.keys),
            values=tuple(value.repeat_interleave(times, 0) for value in self.values),
            attention_mask=None if mask is None else mask.repeat_interleave(times, 0),
            max_position=self.max_position.repeat_interleave(times, 1),
        )


class ConcatenatedKV:
    """Joins by copying: differentiable, for training."""

    def __init__(self, cache: VLMCache, heads: int) -> None:
        """Over `cache`, whose heads are repeated to the DiT's."""
        self._cache = cache
        self._heads = heads

    def __call__(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of [VLM, own] with the DiT's head count."""
        prompt_key = _as_heads(self._cache.keys[layer], self._heads, key.dtype)
        prompt_value = _as_heads(self._cache.values[layer], self._heads, value.dtype)
        return torch.cat((prompt_key, key), 2), torch.cat((prompt_value, value), 2)


class PreallocatedKV:
    """Joins in place: the VLM part is written once and only the own tail at each flow step."""

    def __init__(self, cache: VLMCache, heads: int, tokens: int, dtype: torch.dtype) -> None:
        """Buffers for `cache` and `tokens` own tokens of each head."""
        self._prompt = cache.keys[0].shape[2]
        self._keys = [_with_room(key, heads, tokens, dtype) for key in cache.keys]
        self._values = [_with_room(value, heads, tokens, dtype) for value in cache.values]

    def __call__(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """The layer's buffers after overwriting their own part."""
        keys, values = self._keys[layer], self._values[layer]
        keys[:, :, self._prompt :] = key
        values[:, :, self._prompt :] = value
        return keys, values


def _as_heads(x: Tensor, heads: int, dtype: torch.dtype) -> Tensor:
    """(batch, kv head, token, head_dim) -> (batch, head, token, head_dim)."""
    return x.to(dtype).repeat_interleave(heads // x.shape[1], 1)


def _with_room(prompt: Tensor, heads: int, tokens: int, dtype: torch.dtype) -> Tensor:
    batch, _, length, head_dim = prompt.shape
    buffer = prompt.new_empty((batch, heads, length + tokens, head_dim), dtype=dtype)
    buffer[:, :, :length] = _as_heads(prompt, heads, dtype)
    return buffer
