"""`XR0.sample` in float32 against the plain float64 reference, from pixels to the chunk."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from policies.xr0.reference import Reference
from policies.xr0.reference_vlm import Prompt

from takt.policies.xr0.cache import PromptInputs
from takt.policies.xr0.config import CONTRACTS, DiTConfig
from takt.policies.xr0.model import XR0
from takt.policies.xr0.presets import cpu_bench, nano, xr0_4_7b
from takt.policies.xr0.processor import rotary_positions

TOLERANCE = 1e-5
HORIZON = 6
FORWARDS = [name for name in CONTRACTS if name != "causal"]  # its forward is hf_release's
STEPS = 5


def random_model(config):
    """Every weight random, norms and biases too, so that none of them can go unnoticed."""
    generator = torch.Generator().manual_seed(0)

    def draw(name, like):
        x = torch.empty(like.shape).uniform_(-1, 1, generator=generator)
        if name.endswith("bias"):
            return 0.1 * x
        if like.ndim == 1:
            return 1 + 0.2 * x
        return x * (3 / like[0].numel()) ** 0.5

    with torch.device("meta"):
        model = XR0(config)
    weights = {name: draw(name, x) for name, x in model.state_dict().items()}
    model.load_state_dict(weights, assign=True)
    return model.eval()


def random_prompts(config, count):
    """Prompts of different lengths; every second one has two images of different sizes."""
    rng = np.random.default_rng(1)
    vision, image = config.vision, config.token_ids.image
    cell = 32 // vision.patch_size
    prompts = []
    for number in range(count):
        grids = [(2 * cell, 2 * cell), (cell, 2 * cell)][: 1 + number % 2]
        ids = rng.integers(image + 1, config.text.vocab_size, 3 + number).tolist()
        for rows, columns in grids:
            ids += [image] * (rows * columns // vision.spatial_merge_size**2)
            ids += rng.integers(image + 1, config.text.vocab_size, 2).tolist()
        width = 3 * vision.temporal_patch_size * vision.patch_size**2
        patches = [
            torch.from_numpy(rng.uniform(-1, 1, (rows * columns, width)).astype(np.float32))
            for rows, columns in grids
        ]
        prompts.append(Prompt(ids=ids, grids=grids, patches=patches))
    return prompts


def batch(prompts, config, side):
    """One padded batch; a prompt alone comes without a mask."""
    longest = max(len(prompt.ids) for prompt in prompts)
    ids = torch.zeros(len(prompts), longest, dtype=torch.long)
    positions = torch.zeros(3, len(prompts), longest, dtype=torch.long)
    mask = torch.zeros(len(prompts), longest, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        length = len(prompt.ids)
        real = slice(longest - length, None) if side == "left" else slice(0, length)
        ids[row, real] = torch.tensor(prompt.ids)
        positions[:, row, real] = torch.from_numpy(
            rotary_positions(prompt.ids, list(prompt.grids), config)
        )
        mask[row, real] = 1
    return PromptInputs(
        input_ids=ids,
        attention_mask=mask if len(prompts) > 1 else None,
        pixel_values=torch.cat([x for prompt in prompts for x in prompt.patches]),
        image_grid_thw=torch.tensor([(1, *g) for prompt in prompts for g in prompt.grids]),
        position_ids=positions,
    )


class Case:
    """One model, its reference and three samples; each prompt is read once."""

    def __init__(self, config, count=3):
        self.model = random_model(config)
        self.prompts = random_prompts(config, count)
        plain = Reference(config, self.model.state_dict())
        self.readings = [plain.read(prompt) for prompt in self.prompts]
        self.encode = cache(self._encode)
        generator = torch.Generator().manual_seed(2)
        rows = (count, HORIZON, config.action_dim)
        self.noise, self.clean = (torch.randn(rows, generator=generator) for _ in range(2))
        self.state = torch.randn(
            (count, config.state_length, config.state_dim), generator=generator
        )
        self.mask = (torch.rand(rows, generator=generator) > 0.3).float()

    @torch.no_grad()
    def _encode(self, count, side):
        return self.model.encode(batch(self.prompts[:count], self.model.config, side))

    def check(self, contract, prefix, layouts):
        """The largest difference over the batches of `layouts`."""
        config = replace(self.model.config, contract=CONTRACTS[contract])
        plain = Reference(config, self.model.state_dict())
        expected = torch.stack(
            [
                plain.sample(reading, state, mask, noise, clean[:prefix], STEPS)
                for reading, state, mask, noise, clean in zip(
                    self.readings, self.state, self.mask, self.noise, self.clean, strict=True
                )
            ]
        )
        self.model.config = config
        for count, side in layouts:
            chunk = self.model.sample(
                self.encode(count, side),
                self.state[:count],
                self.mask[:count],
                self.noise[:count],
                self.clean[:count, :prefix],
                STEPS,
            )
            difference = (chunk - expected[:count]).abs().max().item()
            assert difference <= TOLERANCE, f"batch {count}, padding {side}: {difference:.1e}"


LAYOUTS = [(1, "none"), (3, "left"), (3, "right")]


@pytest.fixture(scope="module", params=[nano, cpu_bench], ids=["nano", "cpu-bench"])
def whole(request):
    return Case(request.param())


@pytest.mark.parametrize("prefix", [0, 2, HORIZON])
@pytest.mark.parametrize("contract", FORWARDS)
def test_whole_presets(whole, contract, prefix):
    whole.check(contract, prefix, LAYOUTS)


def test_layers_of_4_7b_at_true_width():
    """One whole VLM layer, the keys and values of the next, one vision block, one DiT layer."""
    config = xr0_4_7b()
    text = replace(config.text, num_hidden_layers=2, vocab_size=64)
    vision = replace(config.vision, depth=1, deepstack_visual_indexes=(0,))
    dit = replace(config.dit, num_hidden_layers=1)
    ids = cpu_bench().token_ids
    case = Case(replace(config, text=text, vision=vision, dit=dit, token_ids=ids), count=1)
    case.check("hf_release", 0, [(1, "none")])
    case.check("xr0_posttrain", 2, [(1, "none")])


@pytest.mark.parametrize("contract", FORWARDS)
def test_successor_shapes(contract):
    """60 columns, a state history, a DiT layer per VLM layer, more DiT heads, another MLP."""
    dit = DiTConfig(hidden_size=192, num_hidden_layers=3, head_dim=32, mlp_ratio=3)
    case = Case(replace(nano(), dit=dit, state_length=4, state_dim=60, action_dim=60))
    for prefix in (0, 2):
        case.check(contract, prefix, LAYOUTS)
