"""What bfloat16 and 8-bit weights change: cosine of the chunk before decoding, against float32.

Same weights, inputs and noise on both sides; 8-bit codes are made from the float32 weights.
`nano`: the shipped checkpoint. `4.7b, 2 layers`: the released widths with two layers in each stack
and random weights. Inputs: the nut station at validation seeds, the i-th somewhat later in its
cycle, worked by the scripted expert.

`chunk` is what the limits are about, over used action columns. Both sides begin with the same
noise, which could flatter it: `flow` is the cosine of what the network alone adds.
The control is the chunk with one layer's matrices set to zero, for the layer that matters least:
a cosine near 1 there would make the other rows worthless.
Axes: N input, T chunk step, D action column.
"""

import copy
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
import torch
from command import require_at_least, run
from torch import Tensor, nn
from torch.nn import functional

from takt.benchmarks.checkpoint import packaged_checkpoint
from takt.embodiments.nut_station.spec import SPEC
from takt.policies.xr0.cache import PromptInputs
from takt.policies.xr0.checkpoint import load_checkpoint
from takt.policies.xr0.model import XR0
from takt.policies.xr0.presets import OWN_TOKEN_IDS, xr0_4_7b
from takt.policies.xr0.processor import XR0Processor
from takt.policies.xr0.quantisation import MODES, quantise
from takt.policies.xr0.tokenizer import VOCAB_SIZE, build_tokenizer
from takt.seeds import VALIDATION_BEGIN
from takt.simulation.nut_station.expert import ScriptedExpert
from takt.simulation.nut_station.station import NutStation
from takt.transforms.slots import Slots
from takt.transforms.states import StateTransform

MUST = {"bf16": 0.9995, "int8": 0.998, "int8, bf16": 0.998}
BATCH = 8
CYCLE_TICKS = 200  # an expert's cycle takes about 220
WIDE_HORIZON = 30
WIDE_GAIN = 3.0  # of the random model's last layer: the chunk is the network's, not the noise's
GATE_STD = 0.5  # of its modulation tables: every layer weighs as much as the stream it joins
TABLES = ("embed_tokens.weight", "pos_embed.weight", "sink.weight")
LAYERS = ("vlm.model.visual.blocks", "vlm.model.language_model.layers", "dit.layers")
HEAD = (
    f"{'model':<15} {'mode':<31} {'inputs':>6} {'chunk p50':>11} {'min':>10} {'flow p50':>11}  must"
)
VIEWS = [camera.view for camera in SPEC.cameras]

Outputs = tuple[Tensor, Tensor]
"""Chunks and flows, (N, T * D used)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Compare precisions on the CPU."""

    inputs: int = 64
    """Inputs per model."""
    image_px: int = 128
    """Side of the three images of the true-width model; 256 takes four times as long."""
    json: bool = False
    """Print one JSON object as the last line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Arguments of `XR0.sample` for some of the inputs."""

    prompt: PromptInputs
    state: Tensor
    mask: Tensor
    noise: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A float32 model and its inputs."""

    name: str
    model: XR0
    batches: tuple[Batch, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Cosines of one mode over its inputs; `must` bounds the chunk's median if it is a number."""

    model: str
    mode: str
    inputs: int
    chunk_median: float
    chunk_min: float
    flow_median: float
    must: float | None

    @property
    def is_missed(self) -> bool:
        """Below what is demanded; NaN is below everything."""
        return self.must is not None and not self.chunk_median >= self.must


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The station at one moment, seen at both sizes: images per camera (H, W, 3), state (A,)."""

    small: tuple[np.ndarray, ...]
    large: tuple[np.ndarray, ...]
    state: np.ndarray


def scenes(count: int, image_px: int) -> list[Scene]:
    """`count` cycles, each looked at once, from the first tick of a cycle to its last."""
    station, found = NutStation(), []
    for number in range(count):
        station.reset(VALIDATION_BEGIN + number)
        expert = ScriptedExpert(station)
        for _ in range(number * CYCLE_TICKS // count):
            station.act(expert.action())
        small, large = (
            tuple(station.render(x.name, px or x.height, px or x.width) for x in SPEC.cameras)
            for px in (None, image_px)
        )
        found.append(Scene(small=small, large=large, state=station.state()))
    station.close()
    return found


def batches(
    processor: XR0Processor,
    images: Sequence[tuple[np.ndarray, ...]],
    states: np.ndarray,
    mask: Tensor,
) -> Iterator[Batch]:
    """Inputs in groups; `states` are (N, state_dim), `mask` is (1, T, D)."""
    generator, instruction = torch.Generator().manual_seed(0), SPEC.instruction
    for first in range(0, len(images), BATCH):
        part = images[first : first + BATCH]
        yield Batch(
            prompt=processor(
                list(map(np.stack, zip(*part, strict=True))), [instruction] * len(part)
            ),
            state=torch.from_numpy(states[first : first + BATCH])[:, None],
            mask=mask,
            noise=torch.randn(len(part), *mask.shape[1:], generator=generator),
        )


def nano_case(seen: Sequence[Scene]) -> Case:
    """The shipped checkpoint on the station's own images."""
    checkpoint = load_checkpoint(packaged_checkpoint("nano_station"))
    config, body = checkpoint.model.config, checkpoint.body(SPEC.name)
    transform = StateTransform(Slots(SPEC.state_slots, config.state_dim), body.state)
    states = transform.forward(np.stack([scene.state for scene in seen]))
    processor = XR0Processor(config, checkpoint.tokenizer, VIEWS)
    mask = torch.from_numpy(body.action.mask)[None]
    parts = tuple(batches(processor, [scene.small for scene in seen], states, mask))
    return Case(name="nano", model=checkpoint.model, batches=parts)


def wide_case(seen: Sequence[Scene]) -> Case:
    """Released widths and heads, two layers a stack, takt's own small vocabulary."""
    released = xr0_4_7b()
    config = replace(
        released,
        text=replace(released.text, num_hidden_layers=2, vocab_size=VOCAB_SIZE),
        vision=replace(released.vision, depth=2, deepstack_visual_indexes=(0,)),
        dit=replace(released.dit, num_hidden_layers=2),
        token_ids=OWN_TOKEN_IDS,
    )
    slots = Slots(SPEC.state_slots, config.state_dim)
    states = slots.forward(np.stack([scene.state for scene in seen]))
    processor = XR0Processor(config, build_tokenizer(), VIEWS)
    mask = torch.ones(1, WIDE_HORIZON, config.action_dim)
    parts = batches(processor, [scene.large for scene in seen], states, mask)
    model = random_model(XR0(config).eval())
    return Case(name="4.7b, 2 layers", model=model, batches=tuple(parts))


@torch.no_grad()
def random_model(model: XR0) -> XR0:
    """Draw every parameter anew, so that each layer's share of the output is of order one.

    Matrices keep the variance of what they map (1 / inputs), look-up tables have the unit variance
    of a normed stream, norms vary by a tenth around 1.
    """
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if name.endswith("adaln_table"):
            parameter.normal_(std=GATE_STD)
        elif name.endswith(TABLES):
            parameter.normal_()
        elif parameter.ndim > 1:
            parameter.normal_(std=1 / math.sqrt(parameter[0].numel()))
        else:
            parameter.normal_(mean=float("norm" in name and "weight" in name), std=0.1)
    model.action_output_layer.get_parameter("layers.2.weight").mul_(WIDE_GAIN)
    return model


def variants() -> dict[str, Callable[[XR0], nn.Module]]:
    """Each changes a float32 model in place."""
    return {
        "bf16": lambda model: model.bfloat16(),
        **{mode: partial(quantise, mode=mode) for mode in MODES},
        "int8, bf16": lambda model: quantise(model, "int8").bfloat16(),
    }


def sample(model: XR0, parts: Sequence[Batch]) -> Outputs:
    """Used columns of the chunks and of what the flow added to their noise, (N, T * D used)."""
    chunks, flows = [], []
    for part in parts:
        chunk = model.sample(part.prompt, part.state, part.mask, part.noise).float()
        used = part.mask[0].bool()
        chunks.append(chunk[:, used])
        flows.append((chunk - part.noise)[:, used])
    return torch.cat(chunks), torch.cat(flows)


def compare(model: str, mode: str, ours: Outputs, exact: Outputs) -> Row:
    """`ours` against the same inputs of `exact`, which may hold more."""
    chunks, flows = (
        functional.cosine_similarity(x.double(), y[: len(x)].double()).numpy()
        for x, y in zip(ours, exact, strict=True)
    )
    return Row(
        model=model,
        mode=mode,
        inputs=len(chunks),
        chunk_median=float(np.median(chunks)),
        chunk_min=float(chunks.min()),
        flow_median=float(np.median(flows)),
        must=MUST.get(mode),
    )


def measure(case: Case) -> Iterator[Row]:
    """A row for each mode, then the control on the first batch."""
    exact = sample(case.model, case.batches)
    for mode, change in variants().items():
        model = copy.deepcopy(case.model)
        change(model)
        yield compare(case.name, mode, sample(model, case.batches), exact)
    without = [
        compare(case.name, f"without {layer}", sample(model, case.batches[:1]), exact)
        for layer, model in layers_out(case.model)
    ]
    yield max(without, key=lambda row: row.chunk_median)


@torch.no_grad()
def layers_out(model: XR0) -> Iterator[tuple[str, XR0]]:
    """The model with one layer's matrices at zero, layer by layer; whole again afterwards."""
    for stack in LAYERS:
        for number, layer in enumerate(model.get_submodule(stack).children()):
            kept = {name: x.clone() for name, x in layer.named_parameters() if x.ndim > 1}
            for name in kept:
                layer.get_parameter(name).zero_()
            yield f"{stack.split('.')[-2]} layer {number}", model
            for name, values in kept.items():
                layer.get_parameter(name).copy_(values)


def show(row: Row) -> str:
    """One line under `HEAD`."""
    verdict = "" if row.must is None else f"  >= {row.must}{'  <- missed' * row.is_missed}"
    return (
        f"{row.model:<15} {row.mode:<31} {row.inputs:6} {row.chunk_median:11.6f} "
        f"{row.chunk_min:10.6f} {row.flow_median:11.6f}{verdict}"
    )


def main(config: Config) -> int:
    """Print a row per model and mode; 1 when bf16 or int8 misses its limit."""
    require_at_least(1, inputs=config.inputs, image_px=config.image_px)
    torch.set_num_threads(1)
    started, rows, seen = time.perf_counter(), [], scenes(config.inputs, config.image_px)
    print(HEAD)
    for build in (nano_case, wide_case):
        for row in measure(build(seen)):
            rows.append(row)
            print(show(row), flush=True)
            print(f"{time.perf_counter() - started:4.0f} s: {row.mode}", file=sys.stderr)
    missed = any(row.is_missed for row in rows)
    if config.json:
        print(json.dumps({"passed": not missed, "rows": [asdict(row) for row in rows]}))
    return int(missed)


if __name__ == "__main__":
    sys.exit(run(main, Config))
