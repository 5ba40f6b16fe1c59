"""Both sides of the inference benchmark: the engine and the released way, on one random model."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from released_style import ReleasedStyle
from torch import Tensor

from takt.policies.xr0.cache import PromptInputs
from takt.policies.xr0.config import XR0Config
from takt.policies.xr0.engine import Engine
from takt.policies.xr0.model import XR0
from takt.policies.xr0.presets import OWN_TOKEN_IDS, preset_or_file
from takt.policies.xr0.processor import XR0Processor
from takt.policies.xr0.quantisation import Mode, quantise
from takt.policies.xr0.tokenizer import build_tokenizer

VIEWS = ("Ego View", "Left-Wrist View", "Right-Wrist View")
PROMPT_TOKENS = 272  # three images of 256 px and a task, as in the paper's latency figure


@dataclass(frozen=True, slots=True)
class Sides:
    """Both implementations, ready to run on one prompt; `served` is what ours runs."""

    model: XR0
    served: XR0
    engine: Engine
    released: ReleasedStyle
    inputs: PromptInputs
    state: Tensor
    mask: Tensor
    noise: Tensor
    steps: int

    def ours(self, noise: Tensor) -> Tensor:
        """A whole inference."""
        return self.engine.plan(self.inputs, self.state, self.mask, noise)

    def theirs(self, noise: Tensor) -> Tensor:
        """The same the released way."""
        return self.released.sample(self.inputs, self.state, self.mask, noise, None, self.steps)

    def timed(self) -> dict[str, Callable[[], object]]:
        """By side and stage, in the order in which a round runs them."""
        past = self.released.look(self.inputs)
        flow = self.state, self.mask, self.noise
        return {
            "released full": lambda: self.theirs(self.noise),
            "ours full": lambda: self.ours(self.noise),
            "released vision + language": lambda: self.released.look(self.inputs),
            "ours vision": self.engine.see,
            "ours language": self.engine.read,
            "released DiT loop": lambda: self.released.integrate(past, *flow, None, self.steps),
            "ours DiT loop": lambda: self.engine.refresh(*flow),
        }


def prompt(config: XR0Config, views: int, device: torch.device) -> PromptInputs:
    """Noise images (256 px; the nano's own 64 px) and a task that fills the prompt up."""
    side = 16 * round(config.vision.num_position_embeddings**0.5 * config.vision.patch_size / 16)
    processor = XR0Processor(config, build_tokenizer(), VIEWS[:views])
    pixels = np.random.default_rng(0).integers(
        0, 256, (views, 1, min(side, 256), min(side, 256), 3)
    )
    task, images = "Install a nut on each pin", list(pixels.astype(np.uint8))
    while side >= 256 and processor(images, [task]).input_ids.shape[1] < PROMPT_TOKENS:
        task += " and"
    inputs = processor(images, [task])
    moved = {
        name: getattr(inputs, name).to(device)
        for name in ("input_ids", "pixel_values", "image_grid_thw", "position_ids")
    }
    return replace(inputs, **moved)


def random_model(config: XR0Config, device: torch.device, dtype: torch.dtype) -> XR0:
    """No weight is zero, so that every part shows in the result."""
    torch.manual_seed(0)
    with device:
        model = XR0(config).eval().requires_grad_(requires_grad=False)
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.01)
    return model.to(dtype)


def prepare(
    preset: str,
    device: torch.device,
    *,
    views: int,
    horizon: int,
    steps: int,
    mode: Mode | None,
    compiled: bool,
) -> Sides:
    """Build both sides over the same weights, ours perhaps with 8-bit codes of them."""
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    sizes = replace(preset_or_file(preset), token_ids=OWN_TOKEN_IDS)
    model = random_model(sizes, device, dtype)
    served = model
    if mode is not None:
        served = copy.deepcopy(model)
        quantise(served, mode)
    inputs = prompt(sizes, views, device)
    generator = torch.Generator().manual_seed(0)
    shape = 1, horizon, sizes.action_dim
    state = torch.randn(1, sizes.state_length, sizes.state_dim, generator=generator)
    engine = Engine(served, inputs, horizon, steps=steps, compiled=compiled)
    return Sides(
        model=model,
        served=served,
        engine=engine,
        released=ReleasedStyle(model),
        inputs=inputs,
        state=state.to(device, dtype),
        mask=torch.ones(shape, device=device, dtype=dtype),
        noise=torch.randn(shape, generator=generator).to(device, dtype),
        steps=steps,
    )
