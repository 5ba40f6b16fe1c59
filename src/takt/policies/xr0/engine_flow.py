"""The flow loop of one fixed shape: everything that no image or state can change is done before.

Same numbers as `XR0.sample` up to rounding. Lead tokens get no pass of their own: what they see is
fixed but their modulation changes with the step, and beside the actions they cost next to nothing.
Axes: B batch, S prompt token, q sink, state and action tokens, T chunk step.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from takt.policies.xr0.cache import VLMCache
from takt.policies.xr0.chunk_inputs import clean_counts
from takt.policies.xr0.dit import DiTLayer
from takt.policies.xr0.engine_attention import JointKV, Tables, additive_mask, fold_tables
from takt.policies.xr0.engine_cpu import KeptLayers
from takt.policies.xr0.engine_layers import FusedLayers, Modulation, fold_modulations, stack
from takt.policies.xr0.model import XR0


@dataclass(frozen=True, slots=True)
class _Layout:
    """What changes with the number of clean actions in front, for all rows."""

    tables: Tables
    gain: Tensor
    """(1, T, 1): how much of the velocity is added."""


class FlowLoop:
    """Integrates chunks over kept keys and values; all its inputs and outputs are fixed buffers.

    Call `load` after each VLM pass, `begin` with the inputs of a chunk, then the loop itself; the
    result is in `chunk`.
    """

    def __init__(
        self,
        model: XR0,
        cache: VLMCache,
        horizon: int,
        steps: int,
        *,
        layers: type[FusedLayers] | type[KeptLayers],
        compiled: bool = False,
    ) -> None:
        """For prompts with the shape, positions and padding of `cache`."""
        config, like = model.config, model.sink.weight.detach()
        batch, prompt = cache.batch_size, cache.keys[0].shape[2]
        tokens = 1 + config.state_length + horizon
        self._model, self._steps = model, steps
        self._shape_of = replace(cache, keys=cache.keys[:1], values=())
        self.state = like.new_zeros(batch, config.state_length, config.state_dim)
        self.chunk = like.new_zeros(batch, horizon, config.action_dim)
        self.action_mask = torch.zeros_like(self.chunk)
        head, heads = like.new_empty(config.dit.head_dim), config.dit.num_heads
        self._joint = [JointKV(head, batch, heads, prompt, tokens) for _ in stack(model)]
        self._committed, self._layouts = [0] * batch, {0: self._layout(0)}
        first = self._layouts[0]
        self._gain, self._tables = first.gain.repeat(batch, 1, 1), first.tables.clone()
        _, seen = model.token_layout(self._shape_of, horizon, 0, torch.float32)
        parts = model, self._joint, self._tables, additive_mask(seen, self._joint[0])
        self._layers = layers(*parts)
        self._modulations = [self._layers.take(x) for x in fold_modulations(model, steps)]
        step = torch.compile(self._run_step, dynamic=False) if compiled else self._run_step
        self._step: Callable[[Tensor, list[Modulation]], None] = step

    def load(self, cache: VLMCache) -> None:
        """Keep the keys and values of a VLM pass."""
        for joint, key, value in zip(self._joint, cache.keys, cache.values, strict=True):
            joint.load(key, value)

    def begin(
        self,
        state: Tensor,
        action_mask: Tensor,
        noise: Tensor,
        prefix: Tensor | None,
        lengths: Sequence[int] | None = None,
    ) -> None:
        """Set the inputs of the next chunk; shapes as in `XR0.sample`, `lengths` as of `Engine`."""
        counts = clean_counts(len(self.chunk), prefix, lengths)
        self.state.copy_(state)
        self.action_mask.copy_(action_mask)
        self.chunk.copy_(noise)
        for row, committed in enumerate(counts):
            if prefix is not None:
                self.chunk[row, :committed] = prefix[row, :committed].to(self.chunk)
            if committed != self._committed[row]:
                self._lay_out(row, committed)

    def _lay_out(self, row: int, committed: int) -> None:
        layout = self._layouts.get(committed) or self._layout(committed)
        self._layouts[committed], self._committed[row] = layout, committed
        self._tables.cos[:, row] = layout.tables.cos[:, row]
        self._tables.sin[:, row] = layout.tables.sin[:, row]
        self._gain[row] = layout.gain[0]

    def __call__(self) -> None:
        """Integrate `chunk` in place from noise to flow time 1."""
        lead = self._model.lead_tokens(self.state)
        for modulations in self._modulations:
            self._step(lead, modulations)

    def _run_step(self, lead: Tensor, modulations: list[Modulation]) -> None:
        """One Euler step."""
        batch, width = len(lead), lead.shape[2]
        actions = self._model.action_projector(self.chunk * self.action_mask)
        x = torch.cat((lead, actions), dim=1).view(-1, width)
        hidden = self._layers(x, modulations).view(batch, -1, width)[:, lead.shape[1] :]
        self.chunk.addcmul_(self._model.action_output_layer(hidden), self._gain)

    def _layout(self, committed: int) -> _Layout:
        """For chunks that start with `committed` clean actions."""
        horizon = self.chunk.shape[1]
        (cos, sin), _ = self._model.token_layout(self._shape_of, horizon, committed, torch.float32)
        noisy = torch.arange(horizon, device=cos.device) >= committed
        norms = torch.stack([_pair_norm(layer) for layer in stack(self._model)])
        return _Layout(fold_tables(cos, sin, norms), noisy[None, :, None] / self._steps)


def _pair_norm(layer: DiTLayer) -> Tensor:
    """(2, head_dim) float32: norm weights of queries, with the softmax scale, and of keys."""
    attention = layer.attn
    query = attention.q_norm.weight.detach().float() * attention.head_dim**-0.5
    return torch.stack((query, attention.k_norm.weight.detach().float()))
