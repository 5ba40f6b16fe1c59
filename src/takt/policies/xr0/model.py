"""XR-0: VLM, action expert and their projectors, under the released state-dict key names.

Axes: B batch, S prompt token, T chunk step, D action dimension, q = 1 sink + state tokens + T.
"""

import torch
from torch import Tensor, nn
from transformers import Qwen3VLConfig, Qwen3VLModel

from takt.policies.common.qwen3_vl import TextOutput, encode_images, run_text
from takt.policies.common.rotary import Rotary, text_rotary
from takt.policies.xr0.cache import ConcatenatedKV, PreallocatedKV, PromptInputs, VLMCache
from takt.policies.xr0.chunk_inputs import require_finite, require_shapes, require_steps
from takt.policies.xr0.config import XR0Config
from takt.policies.xr0.dit import DiT, Projector, TimeEmbedder, TimeProjector
from takt.policies.xr0.masks import causal_mask, dit_mask, dit_positions, hide_prefix
from takt.policies.xr0.released_config import text_json, vision_json
from takt.types import TaktError


class VLM(nn.Module):
    """Gives the backbone its released prefix `vlm.model`; the LM head is the tied token table."""

    def __init__(self, config: XR0Config) -> None:
        """A randomly initialised backbone."""
        super().__init__()
        self.model = Qwen3VLModel(
            Qwen3VLConfig(
                text_config=text_json(config),
                vision_config=vision_json(config),
                image_token_id=config.token_ids.image,
                tie_word_embeddings=True,
            )
        )
        nn.init.normal_(self.model.visual.pos_embed.weight, std=config.position_init_std)
        # Scaled, not drawn again: the draws of all other weights stay.
        tokens = self.model.language_model.embed_tokens.weight.data
        tokens *= config.token_init_std / config.initializer_range


class XR0(nn.Module):
    """The policy network; every size and both contracts by config."""

    def __init__(self, config: XR0Config) -> None:
        """Random weights; `checkpoint.load_checkpoint` for trained ones."""
        super().__init__()
        self.config = config
        width = config.dit.hidden_size
        self.vlm = VLM(config)
        self.dit = DiT(config.dit)
        self.state_projector = Projector(config.state_dim, width, width)
        self.action_projector = Projector(config.action_dim, width, width)
        self.action_output_layer = Projector(width, config.action_dim, config.action_dim)
        self.t_embedder = TimeEmbedder(width)
        self.t_projector = TimeProjector(width)
        self.sink = nn.Embedding(1, width)

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the weights."""
        return self.sink.weight.dtype

    def layers(self) -> list[nn.Module]:
        """Those of the vision tower, of the language model and of the DiT."""
        vlm = self.vlm.model
        return [*vlm.visual.blocks, *vlm.language_model.layers, *self.dit.layers]

    def encode(self, inputs: PromptInputs) -> VLMCache:
        """Run vision and language once; gradients flow through the returned keys and values."""
        output = self.run_language(inputs)
        return self.cache(inputs, output)

    def run_language(
        self,
        inputs: PromptInputs,
        extra: Tensor | None = None,
        *,
        tail: int = 0,
        first_layer: int | None = None,
    ) -> TextOutput:
        """The language model over the prompt and then `extra` token embeddings (B, E, hidden).

        Args:
            inputs: The prompt.
            extra: Further tokens; `hidden` then holds their final states.
            tail: Without `extra`, trailing prompt tokens whose final states are wanted.
            first_layer: Keys and values are kept from here on; by default those the DiT reads.
        """
        model = self.vlm.model
        grids = [(rows, columns) for _, rows, columns in inputs.image_grid_thw.tolist()]
        if not grids:
            raise TaktError(
                "the prompt has no image slot: expected at least one image in image_grid_thw, got "
                "none; build prompts with XR0Processor"
            )
        visual = encode_images(model.visual, inputs.pixel_values, grids, self.config.rotary)
        rows = self._visual_rows(inputs.input_ids, len(visual.embeds))
        words = model.language_model.embed_tokens(inputs.input_ids)
        flat = words.flatten(0, 1).index_copy(0, rows, visual.embeds.to(words.dtype))
        embeds, positions, padding = flat.view_as(words), inputs.position_ids, inputs.attention_mask
        if extra is not None:
            length, count = words.shape[1], extra.shape[1]
            embeds = torch.cat((embeds, extra.to(words.dtype)), dim=1)
            rows = rows + rows.div(length, rounding_mode="floor") * count
            positions = torch.cat((positions, self.next_positions(positions, count)), dim=2)
            if padding is not None:
                padding = torch.cat((padding, padding.new_ones(len(extra), count)), dim=1)
        return run_text(
            model.language_model,
            embeds,
            self._rotary(positions, embeds.dtype),
            None if padding is None else causal_mask(padding),
            visual.deepstack,
            rows,
            first_layer=self.config.kv_layers.start if first_layer is None else first_layer,
            tail=tail if extra is None else extra.shape[1],
        )

    def _visual_rows(self, input_ids: Tensor, expected: int) -> Tensor:
        """Rows of the image tokens in the flattened (B * S) axis."""
        rows = (input_ids == self.config.token_ids.image).flatten().nonzero().squeeze(1)
        if len(rows) != expected:
            raise TaktError(
                f"prompt has {len(rows)} image tokens, but the images give {expected}; "
                "build both with the same XR0Processor"
            )
        return rows

    def _rotary(self, positions: Tensor, dtype: torch.dtype) -> Rotary:
        text = self.config.text
        return text_rotary(
            positions, text.head_dim, text.rope_theta, text.mrope_section, self.config.rotary, dtype
        )

    def cache(self, inputs: PromptInputs, output: TextOutput) -> VLMCache:
        """The prompt's part of a language pass as what the DiT reads."""
        length = inputs.input_ids.shape[1]
        mask = inputs.attention_mask
        return VLMCache(
            keys=tuple(key[:, :, :length] for key in output.keys),
            values=tuple(value[:, :, :length] for value in output.values),
            attention_mask=None if mask is None else mask.bool(),
            max_position=inputs.position_ids.amax(2),
        )

    @staticmethod
    def next_positions(positions: Tensor, count: int) -> Tensor:
        """(3, B, count) positions that follow the highest one of each axis and prompt."""
        start = positions.amax(2, keepdim=True) + 1
        return start + torch.arange(count, device=positions.device)

    def velocity(
        self,
        cache: VLMCache,
        state: Tensor,
        noisy: Tensor,
        tau: Tensor,
        action_mask: Tensor,
        prefix_length: int | Tensor = 0,
        hidden: Tensor | None = None,
    ) -> Tensor:
        """Flow velocity of a chunk whose first actions are clean; differentiable.

        Args:
            cache: From `encode`, or rebuilt from stored keys and values.
            state: (B, state_length, state_dim).
            noisy: (B, T, D) interpolation at `tau`, its first `prefix_length` rows clean actions.
            tau: (B,) flow time in [0, 1).
            action_mask: (B or 1, T, D); 0 hides a dimension from the input, not from attention.
            prefix_length: One number, or (B,) integers.
            hidden: (B or 1, T) boolean, clean actions that the noisy ones may not see.

        Returns:
            (B, T, D); zero in the prefix. Masked-out dimensions are unconstrained.
        """
        horizon = noisy.shape[1]
        tokens = self.lead_tokens(state)
        rotary, mask = self.token_layout(cache, horizon, prefix_length, tokens.dtype, hidden)
        modulations = self._modulations(tau, prefix_length, horizon)
        join = ConcatenatedKV(cache, self.config.dit.num_heads)
        velocity = self._flow(tokens, noisy, action_mask, modulations, rotary, mask, join)
        step = torch.arange(horizon, device=noisy.device)
        clean = step < torch.as_tensor(prefix_length, device=noisy.device).reshape(-1, 1)
        return velocity.masked_fill(clean[..., None], 0)

    @torch.no_grad()
    def sample(
        self,
        inputs: PromptInputs | VLMCache,
        state: Tensor,
        action_mask: Tensor,
        noise: Tensor,
        prefix: Tensor | None = None,
        steps: int | None = None,
    ) -> Tensor:
        """Integrate the flow from noise to a chunk that is still normalised.

        Args:
            inputs: A prompt, or its cache.
            state: (B, state_length, state_dim).
            action_mask: (B or 1, T, D) 0/1.
            noise: (B, T, D), the chunk at flow time 0.
            prefix: (B, P, D) clean normalised actions, 0 <= P <= T, returned unchanged in front.
            steps: Euler steps; the config's by default.

        Returns:
            (B, T, D) chunk before decoding.

        Raises:
            ChunkInputError: A wrong shape, P > T, no steps, or numbers that are not finite.
        """
        steps = require_steps(steps, self.config)
        is_cache = isinstance(inputs, VLMCache)
        batch = inputs.batch_size if is_cache else len(inputs.input_ids)
        horizon = noise.shape[1] if noise.ndim == 3 else 0
        require_shapes(self.config, (batch, horizon), state, action_mask, noise, prefix)
        require_finite(state=state, noise=noise, prefix=prefix)
        cache = inputs if is_cache else self.encode(inputs)
        chunk = noise.to(self.dtype, copy=True)
        committed = 0 if prefix is None else prefix.shape[1]
        if prefix is not None:
            chunk[:, :committed] = prefix
        tokens = self.lead_tokens(state)
        rotary, mask = self.token_layout(cache, horizon, committed, tokens.dtype)
        tau = torch.arange(steps, device=noise.device) / steps
        modulations = self._modulations(tau, committed, horizon)
        join = PreallocatedKV(cache, self.config.dit.num_heads, mask.shape[2], tokens.dtype)
        for step in range(steps):
            modulation = modulations[:, step : step + 1]
            velocity = self._flow(tokens, chunk, action_mask, modulation, rotary, mask, join)
            chunk[:, committed:] += velocity[:, committed:] / steps
        return chunk

    def lead_tokens(self, state: Tensor) -> Tensor:
        """Sink and state tokens, (B, 1 + state_length, hidden).

        Raises:
            TaktError: `state` is not (B, state_length, state_dim).
        """
        expected = (self.config.state_length, self.config.state_dim)
        if state.ndim != 3 or tuple(state.shape[1:]) != expected:
            raise TaktError(
                f"state: expected (batch, {expected[0]} states, {expected[1]} columns), "
                f"got {tuple(state.shape)}"
            )
        sink = self.sink.weight.expand(len(state), 1, -1)
        return torch.cat((sink, self.state_projector(state.to(self.dtype))), dim=1)

    def token_layout(
        self,
        cache: VLMCache,
        horizon: int,
        prefix_length: int | Tensor,
        dtype: torch.dtype,
        hidden: Tensor | None = None,
    ) -> tuple[Rotary, Tensor]:
        """Rotary of the DiT's own tokens and its boolean attention mask; `hidden` as above."""
        contract = self.config.contract
        lead = 1 + self.config.state_length
        positions = dit_positions(
            cache.max_position, lead, horizon, prefix_length, contract.rope_offset
        )
        prompt = cache.keys[0].shape[2]
        mask = dit_mask(cache.attention_mask, prompt, lead, horizon, contract, positions.device)
        if hidden is not None:
            mask = hide_prefix(mask, hidden, prefix_length)
        return self._rotary(positions, dtype), mask

    def _modulations(self, tau: Tensor, prefix_length: int | Tensor, horizon: int) -> Tensor:
        """Of every layer at `tau` (B,): (layer, B, 6, hidden).

        (layer, B, 6, token, hidden) where the contract has clean actions stand at flow time 1.
        """
        modulations = self.dit.modulations(self.t_projector(self.t_embedder(tau)))
        if self.config.contract.prefix_time == "chunk":
            return modulations
        at_one = self.dit.modulations(self.t_projector(self.t_embedder(tau.new_ones(1))))
        lead = 1 + self.config.state_length
        token = torch.arange(lead + horizon, device=tau.device)
        first_noisy = torch.as_tensor(prefix_length, device=tau.device).reshape(-1, 1) + lead
        clean = ((token >= lead) & (token < first_noisy))[:, None, :, None]
        return torch.where(clean, at_one.unsqueeze(-2), modulations.unsqueeze(-2))

    def _flow(
        self,
        lead: Tensor,
        chunk: Tensor,
        action_mask: Tensor,
        modulations: Tensor,
        rotary: Rotary,
        mask: Tensor,
        join: ConcatenatedKV | PreallocatedKV,
    ) -> Tensor:
        actions = self.action_projector((chunk * action_mask).to(lead.dtype))
        hidden = self.dit(torch.cat((lead, actions), dim=1), modulations, rotary, mask, join)
        return self.action_output_layer(hidden[:, lead.shape[1] :])
