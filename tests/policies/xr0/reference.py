"""XR-0 written down plainly, to compare with: float64, one prompt at a time, loops, nothing fused.

It follows the definitions of Qwen3-VL and XR-0 and shares no computation with takt: weights come in
under their released names, padding is left out instead of masked, every flow step recomputes the
whole action expert. The config serves as a list of sizes; what a contract means is stated here.
"""

import math

import torch
from policies.xr0.reference_vlm import PlainQwen3VL, Reading, gelu_tanh, rotate, softmax_mix
from torch import Tensor

from takt.policies.xr0.config import XR0Config

WINDOW = {"hf_release": math.inf, "xr0_posttrain": 4, "causal": math.inf}
OFFSET = {"hf_release": 0, "xr0_posttrain": 10, "causal": 0}
WINDOW["training_time_rtc"], OFFSET["training_time_rtc"] = math.inf, 0
CLEAN_TIME = {"training_time_rtc": 1.0}  # elsewhere clean actions stand at the chunk's time


class Reference(PlainQwen3VL):
    """The whole policy, one sample at a time."""

    def __init__(self, config: XR0Config, weights: dict[str, Tensor]) -> None:
        """The action expert's weights are widened once, as every flow step reads them."""
        vlm = {name: x for name, x in weights.items() if name.startswith("vlm.")}
        rest = {name: x.double() for name, x in weights.items() if name not in vlm}
        super().__init__(config, vlm | rest)

    def projector(self, name: str, x: Tensor) -> Tensor:
        return self.linear(f"{name}.layers.2", gelu_tanh(self.linear(f"{name}.layers.0", x)))

    def modulation(self, tau: float) -> Tensor:
        """(6, hidden) shift, scale, gate of attention and of the MLP, without the layers' tables.

        Angles are float32 by definition: exact ones move a chunk by up to 1.4e-5.
        """
        exponents = -math.log(10_000) * torch.arange(128, dtype=torch.float32) / 128
        frequencies = exponents.double().exp().float()
        angles = (torch.tensor(tau, dtype=torch.float32) * 1000 * frequencies).double()
        inner = self.linear("t_embedder.mlp.0", torch.cat([angles.cos(), angles.sin()]))
        time = self.linear("t_embedder.mlp.2", inner * torch.sigmoid(inner))
        return self.linear("t_projector.layers.0", time).reshape(6, -1)

    def dit_attention(
        self, number: int, x: Tensor, prompt: Reading, angles: Tensor, mask: Tensor
    ) -> Tensor:
        name, head_dim = f"dit.layers.{number}.attn", self.config.dit.head_dim
        layer = len(prompt.keys) - self.config.dit.num_hidden_layers + number
        query, key, value = self.linear(f"{name}.qkv_proj", x).chunk(3, dim=-1)
        queries, keys = self.heads(f"{name}.q_norm", query), self.heads(f"{name}.k_norm", key)
        mixed = []
        for i, own_value in enumerate(value.split(head_dim, dim=1)):
            shared = i * len(prompt.keys[layer]) // len(queries)
            k = torch.cat([prompt.keys[layer][shared], rotate(keys[i], angles)])
            v = torch.cat([prompt.values[layer][shared], own_value])
            mixed.append(softmax_mix(rotate(queries[i], angles), k, v, mask))
        return self.linear(f"{name}.o_proj", torch.cat(mixed, dim=1))

    def velocity(
        self, prompt: Reading, state: Tensor, chunk: Tensor, tau: float, shown: Tensor, prefix: int
    ) -> Tensor:
        """(T, D) of one sample; `shown` is its action mask, `prefix` counts clean actions."""
        sink, states = self.weight("sink.weight"), self.projector("state_projector", state.double())
        x = torch.cat([sink, states, self.projector("action_projector", chunk * shown)])
        lead = len(x) - len(chunk)
        offsets = [OFFSET[self.config.contract.name] * (i >= lead + prefix) for i in range(len(x))]
        first, second, third = prompt.last_position
        angles = self.text_angles(
            [
                (first + 1 + i + o, second + 1 + i + o, third + 1 + i + o)
                for i, o in enumerate(offsets)
            ]
        )
        mask = self.dit_mask(prompt.keys[0].shape[1], lead, len(x))
        clean_tau = CLEAN_TIME.get(self.config.contract.name, tau)
        is_clean = [lead <= i < lead + prefix for i in range(len(x))]
        noisy_time, clean_time = self.modulation(tau), self.modulation(clean_tau)
        time = torch.stack([clean_time if clean else noisy_time for clean in is_clean], dim=1)
        for number in range(self.config.dit.num_hidden_layers):
            name = f"dit.layers.{number}"
            table = self.weight(f"{name}.adaln_table").reshape(6, 1, -1) + time
            shift1, scale1, gate1, shift2, scale2, gate2 = table
            normed = self.rms_norm(f"{name}.input_layernorm", x) * (1 + scale1) + shift1
            x = x + gate1 * self.dit_attention(number, normed, prompt, angles, mask)
            x = self.rms_norm(f"{name}.middle_layernorm", x)
            normed = self.rms_norm(f"{name}.post_layernorm", x) * (1 + scale2) + shift2
            x = x + gate2 * self.swiglu(f"{name}.mlp", normed)
            x = self.rms_norm(f"{name}.final_layernorm", x)
        return self.projector("action_output_layer", x[lead:])

    def dit_mask(self, prompt: int, lead: int, tokens: int) -> Tensor:
        """1 where a row may look: the prompt, earlier lead tokens, actions inside its window."""
        window = WINDOW[self.config.contract.name]
        mask = torch.zeros(tokens, prompt + tokens)
        mask[:, :prompt] = 1
        for row in range(tokens):
            for column in range(row + 1):
                if column < lead or row - column <= window:
                    mask[row, prompt + column] = 1
        return mask

    def sample(
        self,
        prompt: Reading,
        state: Tensor,
        shown: Tensor,
        noise: Tensor,
        clean: Tensor,
        steps: int,
    ) -> Tensor:
        """(T, D) chunk of one sample before decoding; `clean` is its (P, D) prefix."""
        chunk = noise.double().clone()
        chunk[: len(clean)] = clean
        for step in range(steps):
            velocity = self.velocity(prompt, state, chunk, step / steps, shown, len(clean))
            velocity[: len(clean)] = 0
            chunk = chunk + velocity / steps
        return chunk
