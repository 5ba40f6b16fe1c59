"""The released inference, written plainly over the same weights: what the engine is measured by.

Eager; transformers' own Qwen3-VL forward with its cache; per flow step the time MLP again, and per
layer keys and values repeated to the DiT's heads and concatenated; one dense boolean mask; norms,
rotary and modulation as separate operations. It passes `takt model parity` itself (`trace`).
Axes: B batch, S prompt token, q DiT token, T chunk step, D action dimension.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import DynamicCache
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLVisionRotaryEmbedding

from takt.policies.xr0.cache import PromptInputs
from takt.policies.xr0.dit import Attention, DiTLayer, RMSNorm
from takt.policies.xr0.model import XR0
from takt.policies.xr0.parity_case import Run

Note = Callable[[str, Tensor], None]
"""Told every intermediate by its recorded name."""
Rotary = tuple[Tensor, Tensor]
Past = tuple[Tensor, Tensor, DynamicCache]
"""Attention mask (B, S), position ids (3, B, S), and the VLM's keys and values."""


def _ignore(name: str, tensor: Tensor) -> None:
    """Keep nothing."""


class ReleasedStyle:
    """An `XR0`'s weights under the released way of running them."""

    def __init__(self, model: XR0) -> None:
        """Over `model`, whose rotary buffers are set to the precision of its config."""
        self.model = model
        _set_rotary(model)

    @torch.no_grad()
    def sample(
        self,
        inputs: PromptInputs,
        state: Tensor,
        action_mask: Tensor,
        noise: Tensor,
        prefix: Tensor | None = None,
        steps: int | None = None,
        note: Note = _ignore,
    ) -> Tensor:
        """As `XR0.sample`."""
        past = self.look(inputs, note)
        return self.integrate(past, state, action_mask, noise, prefix, steps, note)

    @torch.no_grad()
    def look(self, inputs: PromptInputs, note: Note = _ignore) -> Past:
        """The whole VLM, last layer and final norm included."""
        vlm, ids = self.model.vlm.model, inputs.input_ids
        real = torch.ones_like(ids) if inputs.attention_mask is None else inputs.attention_mask
        kinds = (ids == self.model.config.token_ids.image).int()
        positions, _ = vlm.get_rope_index(
            ids,  # pyright: ignore[reportArgumentType]
            kinds,  # pyright: ignore[reportArgumentType]
            image_grid_thw=inputs.image_grid_thw,  # pyright: ignore[reportArgumentType]
            attention_mask=real,
        )
        watched = vlm.visual.register_forward_hook(_note_images(note))
        output = vlm(
            input_ids=ids,
            attention_mask=real,
            position_ids=positions,
            pixel_values=inputs.pixel_values.to(self.model.dtype),
            image_grid_thw=inputs.image_grid_thw,
            mm_token_type_ids=kinds,
            use_cache=True,
        )
        watched.remove()
        note("vlm.position_ids", positions)
        for number in self.model.config.kv_layers:
            note(f"vlm.k.{number}", output.past_key_values.layers[number].keys)
            note(f"vlm.v.{number}", output.past_key_values.layers[number].values)
        return real, positions, output.past_key_values

    @torch.no_grad()
    def integrate(
        self,
        past: Past,
        state: Tensor,
        action_mask: Tensor,
        noise: Tensor,
        prefix: Tensor | None = None,
        steps: int | None = None,
        note: Note = _ignore,
    ) -> Tensor:
        """The flow from noise to a chunk, (B, T, D)."""
        model, steps = self.model, steps or self.model.config.flow_steps
        clean = 0 if prefix is None else prefix.shape[1]
        chunk = noise.to(model.dtype, copy=True)
        if prefix is not None:
            chunk[:, :clean] = prefix.to(model.dtype)
        rotary, mask = self._layout(past, noise.shape[1], clean, note)
        for step in range(steps):
            tau = torch.full((len(noise),), step / steps, device=noise.device)
            time = model.t_projector(model.t_embedder(tau))
            note(f"dit.t_embeds.{step}", time)
            tokens = self._tokens(state, chunk * action_mask.to(chunk.dtype))
            note(f"dit.in.{step}", tokens)
            for number, layer in enumerate(cast(list[DiTLayer], model.dit.layers)):
                prompt = past[2].layers[model.config.kv_layers[number]]
                tokens = self._layer(layer, tokens, time, rotary, mask, prompt)
                note(f"dit.layer_out.{step}.{number}", tokens)
            velocity = model.action_output_layer(tokens[:, -noise.shape[1] :])
            velocity[:, :clean] = 0
            note(f"velocity.{step}", velocity)
            chunk = chunk + velocity * (1 / steps)
        return chunk

    def _tokens(self, state: Tensor, actions: Tensor) -> Tensor:
        """[sink, state, actions], (B, q, hidden)."""
        model = self.model
        sink = model.sink(torch.zeros(len(state), 1, dtype=torch.long, device=state.device))
        states = model.state_projector(state.to(model.dtype))
        return torch.cat((sink, states, model.action_projector(actions)), dim=1)

    def _layout(self, past: Past, horizon: int, clean: int, note: Note) -> tuple[Rotary, Tensor]:
        """Rotary (B, q, head_dim) and mask (B, 1, q, S + q) of the DiT's tokens."""
        real, prompt_positions, _ = past
        config, device = self.model.config, real.device
        lead = 1 + config.state_length
        step = torch.arange(lead + horizon, device=device)
        positions = prompt_positions.max(dim=-1, keepdim=True).values + 1 + step
        positions[..., lead + clean :] += config.contract.rope_offset
        own = torch.ones(lead + horizon, lead + horizon, dtype=torch.bool, device=device).tril()
        if config.contract.local_window is not None:
            near = own.triu(-config.contract.local_window)
            near[:, :lead] = own[:, :lead]
            own = near
        seen = real.bool()[:, None, None, :].expand(-1, 1, lead + horizon, -1)
        mask = torch.cat((seen, own.expand(len(real), 1, -1, -1)), dim=-1)
        rotary_module = self.model.vlm.model.language_model.rotary_emb
        cos, sin = rotary_module(self.model.sink.weight, positions)
        note("dit.position_ids", positions)
        note("dit.cos", cos)
        note("dit.sin", sin)
        note("dit.attn_mask", mask)
        return (cos, sin), mask

    @staticmethod
    def _layer(
        layer: DiTLayer,
        x: Tensor,
        time: Tensor,
        rotary: Rotary,
        mask: Tensor,
        past: Any,  # noqa: ANN401
    ) -> Tensor:
        """One DiT layer over the `keys` and `values` of its VLM layer."""
        modulation = layer.adaln_table[None] + time
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation.chunk(6, dim=1)
        normed = _norm(layer.input_layernorm, x) * (1 + scale1) + shift1
        attended = _attention(layer.attn, normed, past.keys, past.values, rotary, mask)
        x = _norm(layer.middle_layernorm, x + gate1 * attended)
        normed = _norm(layer.post_layernorm, x) * (1 + scale2) + shift2
        mlp = layer.mlp
        inner = functional.silu(mlp.gate_proj(normed)) * mlp.up_proj(normed)
        return _norm(layer.final_layernorm, x + gate2 * mlp.down_proj(inner))


def trace(model: XR0, run: Run) -> Mapping[str, Tensor]:
    """For `takt.policies.xr0.parity.check_parity`: every intermediate by its recorded name."""
    seen: dict[str, Tensor] = {}
    released = ReleasedStyle(model)
    past = released.look(run.prompt, seen.setdefault)  # pyright: ignore[reportArgumentType]
    if (flow := run.flow) is not None:
        actions = released.integrate(
            past,
            flow.state,
            flow.action_mask,
            flow.noise,
            flow.prefix,
            flow.steps,
            seen.setdefault,  # pyright: ignore[reportArgumentType]
        )
        seen["actions"] = actions
        if flow.statistics is not None:
            decoded = flow.statistics.inverse(actions.float().numpy())
            seen["decoded"] = torch.from_numpy(decoded)
            seen["mask_from_stats"] = torch.from_numpy(flow.statistics.mask)[None]
    return seen


def _note_images(note: Note) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: object, output: Any) -> None:  # noqa: ANN401
        note("vlm.image_embeds", output.pooler_output)
        for number, level in enumerate(output.deepstack_features):
            note(f"vlm.deepstack.{number}", level)

    return hook


class _RoundedVisionRotary(Qwen3VLVisionRotaryEmbedding):
    """Angles, cosines and sines in the dtype of the frequencies, as in transformers 4.57."""

    def forward(self, x: Tensor, position_ids: Tensor) -> Rotary:
        """cos and sin of (2, patch) coordinates."""
        angles = position_ids[..., None].to(self.inv_freq.dtype) * self.inv_freq
        cos, sin = (self.recomposition_frequencies(part) for part in (angles.cos(), angles.sin()))
        return cos, sin


def _set_rotary(model: XR0) -> None:
    """Frequencies in the precision of the config; a cast of the whole model must not decide it."""
    vlm, device = model.vlm.model, model.sink.weight.device
    dtype = getattr(torch, model.config.rotary)
    text = vlm.language_model.rotary_emb
    vision = vlm.visual.rotary_pos_emb
    text.inv_freq = text.compute_default_rope_parameters(text.config)[0].to(device, dtype)
    vision.inv_freq = vision.compute_axial_rope_parameters(vision.config)[0].to(device, dtype)
    vision.__class__ = _RoundedVisionRotary


def _attention(
    attention: Attention,
    x: Tensor,
    past_key: Tensor,
    past_value: Tensor,
    rotary: Rotary,
    mask: Tensor,
) -> Tensor:
    shape = (*x.shape[:2], 3, -1, attention.head_dim)
    query, key, value = attention.qkv_proj(x).view(shape).permute(2, 0, 3, 1, 4).unbind(0)
    query, key = _norm(attention.q_norm, query), _norm(attention.k_norm, key)
    cos, sin = (table.unsqueeze(1) for table in rotary)
    query = query * cos + _rotate_half(query) * sin
    key = key * cos + _rotate_half(key) * sin
    groups = key.shape[1] // past_key.shape[1]
    keys = torch.cat((_repeat(past_key, groups), key), dim=2)
    values = torch.cat((_repeat(past_value, groups), value), dim=2)
    mixed = functional.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
    return attention.o_proj(mixed.transpose(1, 2).reshape(x.shape))


def _norm(norm: RMSNorm, x: Tensor) -> Tensor:
    return functional.rms_norm(x, norm.weight.shape, norm.weight, 1e-6)


def _rotate_half(x: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return torch.cat((-x[..., half:], x[..., :half]), dim=-1)


def _repeat(x: Tensor, groups: int) -> Tensor:
    if groups == 1:
        return x
    batch, heads, length, width = x.shape
    return x[:, :, None].expand(-1, -1, groups, -1, -1).reshape(batch, -1, length, width)
