"""XR-0's action expert without a language model: sink, state and action tokens.

Axes: B batch, T chunk step, D action dimension.
"""

import torch
from torch import Tensor, nn

from takt.policies.common.rotary import Rotary, text_rotary
from takt.policies.track.config import TrackConfig
from takt.policies.xr0.dit import DiT, Projector, TimeEmbedder, TimeProjector
from takt.policies.xr0.masks import dit_mask, dit_positions, hide_prefix

_LEAD = 2  # sink and state


class TrackDiT(nn.Module):
    """The network; inputs and outputs are normalised by its own statistics."""

    state_mean: Tensor
    state_std: Tensor
    action_mean: Tensor
    action_std: Tensor

    def __init__(self, config: TrackConfig) -> None:
        """Random weights, statistics of nothing."""
        super().__init__()
        self.config = config
        width, axes = config.dit.hidden_size, config.action_dim
        self.dit = DiT(config.dit)
        self.state_projector = Projector(config.state_dim, width, width)
        self.action_projector = Projector(axes, width, width)
        self.action_output_layer = Projector(width, width, axes)
        self.t_embedder = TimeEmbedder(width)
        self.t_projector = TimeProjector(width)
        self.sink = nn.Embedding(1, width)
        self.register_buffer("state_mean", torch.zeros(config.state_dim))
        self.register_buffer("state_std", torch.ones(config.state_dim))
        self.register_buffer("action_mean", torch.zeros(config.horizon, axes))
        self.register_buffer("action_std", torch.ones(config.horizon, axes))

    def layers(self) -> list[nn.Module]:
        """Those of the DiT."""
        return list(self.dit.layers)

    def features(self, state: Tensor) -> Tensor:
        """(B, state) with the target seen from where the body is: what is small must be exact."""
        place, rate, target, target_rate = state.chunk(4, dim=-1)
        return torch.cat((place, rate, target - place, target_rate), dim=-1)

    def normalised(self, state: Tensor) -> Tensor:
        """(B, state) as the network reads it."""
        return (self.features(state) - self.state_mean) / self.state_std

    def encode(self, actions: Tensor, place: Tensor, first: int = 0) -> Tensor:
        """(B, n, D) absolute actions, due from step `first` on, seen from `place` (B, D)."""
        rows = slice(first, first + actions.shape[1])
        return (actions - place[:, None] - self.action_mean[rows]) / self.action_std[rows]

    def decode(self, chunk: Tensor, place: Tensor) -> Tensor:
        """The inverse of `encode`."""
        rows = slice(chunk.shape[1])
        return chunk * self.action_std[rows] + self.action_mean[rows] + place[:, None]

    def velocity(
        self,
        state: Tensor,
        noisy: Tensor,
        tau: Tensor,
        prefix_length: Tensor | int = 0,
        hidden: Tensor | None = None,
    ) -> Tensor:
        """Flow velocity of a chunk whose first actions are clean; differentiable.

        Args:
            state: (B, state), normalised.
            noisy: (B, T, D), its first `prefix_length` rows clean.
            tau: (B or 1,) flow time of the chunk, or (B or 1, T) of every action.
            prefix_length: One number, or (B,).
            hidden: (B or 1, T), clean actions that the noisy ones may not see.

        Returns:
            (B, T, D); zero in the prefix.
        """
        batch, horizon = noisy.shape[:2]
        length = torch.as_tensor(prefix_length, device=noisy.device).reshape(-1)
        clean = torch.arange(horizon, device=noisy.device) < length[:, None]
        sink = self.sink.weight.expand(batch, 1, -1)
        lead = torch.cat((sink, self.state_projector(state)[:, None]), dim=1)
        tokens = torch.cat((lead, self.action_projector(noisy)), dim=1)
        rotary, mask = self._layout(horizon, length, hidden, noisy.device)
        hidden_states = self.dit(
            tokens, self._modulations(tau, clean), rotary, mask, lambda _, key, value: (key, value)
        )
        out = self.action_output_layer(hidden_states[:, _LEAD:])
        return out.masked_fill(clean[..., None], 0)

    def _layout(
        self, horizon: int, length: Tensor, hidden: Tensor | None, device: torch.device
    ) -> tuple[Rotary, Tensor]:
        contract, head = self.config.contract, self.config.dit.head_dim
        before = torch.full((3, len(length)), -1, device=device)
        positions = dit_positions(before, _LEAD, horizon, length, contract.rope_offset)
        sections = (head // 2, 0, 0)
        rotary = text_rotary(
            positions, head, self.config.rope_theta, sections, "float32", torch.float32
        )
        mask = dit_mask(None, 0, _LEAD, horizon, contract, device)
        return rotary, mask if hidden is None else hide_prefix(mask, hidden, length)

    def _modulations(self, tau: Tensor, clean: Tensor) -> Tensor:
        """(layer, B or 1, 6, hidden), or with tokens before the last axis where times differ."""
        if self.config.contract.prefix_time == "one" and clean.any():
            tau = torch.where(clean, 1.0, tau if tau.ndim == 2 else tau[:, None])
        if tau.ndim == 1:
            return self.dit.modulations(self.t_projector(self.t_embedder(tau)))
        # the lead stands at the last action's time, which is the chunk's own under any schedule
        by_token = torch.cat((tau[:, -1:].expand(-1, _LEAD), tau), dim=1)
        flat = self.dit.modulations(self.t_projector(self.t_embedder(by_token.flatten())))
        return flat.unflatten(1, by_token.shape).transpose(2, 3)
