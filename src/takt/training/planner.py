"""What a stage would take: bytes, operations and days, from a pass that computes no numbers."""

from dataclasses import dataclass
from math import prod

import torch

from takt.policies.common.layers import set_recompute
from takt.training.batches import Batch
from takt.training.engine import Replicated, Sharded
from takt.training.plan_config import Card
from takt.training.planner_trace import trace
from takt.training.stage import Stage

PlannedEngine = Replicated | Sharded
"""DeepSpeed's memory is not known here."""
_FLOAT32, _BFLOAT16 = 4, 2
_MOMENTS = 2  # of AdamW, beside its step count


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes of the rank that holds most.

    Attributes:
        weights: Float32, as the optimiser sees them.
        gradients: Float32, at the end of a backward pass.
        optimiser: AdamW's moments and step counts.
        average: Of the trained weights (EMA).
        gathered: Weights as a sharded model computes with them.
        exchange: Buffers of the gradients under way between ranks.
        activations: Everything else at the fullest moment of a pass; estimated.
        peak: Estimated most at a time.
    """

    weights: int
    gradients: int
    optimiser: int
    average: int
    gathered: int
    exchange: int
    activations: int
    peak: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """One stage.

    Attributes:
        name: Of the stage.
        parameters: Of the model and the stage's own heads.
        trained: Those that the optimiser has.
        memory: Of one rank.
        flops: Operations for one sample and its share of the conversations beside it, forward and
            backward, recomputed layers included.
        tokens: Of one sample's prompt, and its share of the conversations'.
    """

    name: str
    parameters: int
    trained: int
    memory: Memory
    flops: int
    tokens: int

    def samples_per_s(self, card: Card, gpus: int, utilisation: float) -> float:
        """On `gpus` cards that reach `utilisation` of their peak."""
        return gpus * card.tflops * 1e12 * utilisation / self.flops


def plan_stage(
    name: str, stage: Stage, batch: Batch, engine: PlannedEngine, ranks: int, *, bf16: bool
) -> StagePlan:
    """Plan `stage`, float32 on the meta device, with `batch` (there too) on each of `ranks`."""
    set_recompute(stage.policy.layers(), engine.recompute)
    parameters = [*stage.parameters()]
    trained = sum(p.numel() for p in stage.trainable())
    whole = isinstance(engine, Replicated)
    held = stage.to(torch.bfloat16) if bf16 and not whole else stage
    passed = trace(held, batch, keep_gradients=whole, autocast=bf16 and whole)
    return StagePlan(
        name=name,
        parameters=sum(p.numel() for p in parameters),
        trained=trained,
        memory=_memory(held, passed.reached, passed.peak, engine, ranks, bf16),
        flops=passed.flops // len(batch.state),
        tokens=_tokens(batch) // len(batch.state),
    )


def _tokens(batch: Batch) -> int:
    inputs = [batch.inputs]
    if batch.conversations is not None:
        inputs.append(batch.conversations.dialogues.inputs)
    return sum(part.input_ids.numel() for part in inputs)


def _memory(
    stage: Stage, reached: frozenset[str], peak: int, engine: PlannedEngine, ranks: int, bf16: bool
) -> Memory:
    width = _BFLOAT16 if bf16 else _FLOAT32
    parts = ranks // engine.replicas if isinstance(engine, Sharded) else 1
    names = {parameter: name for name, parameter in stage.named_parameters()}
    everything = {name: parameter.shape for parameter, name in names.items()}
    shapes = {name: everything[name] for name in (names[p] for p in stage.trainable())}
    moved = {name: everything[name] for name in reached}
    states = {
        "weights": _FLOAT32 * elements(everything, parts),
        "gradients": _FLOAT32 * elements(moved, parts),
        "optimiser": _MOMENTS * _FLOAT32 * elements(moved, parts) + _FLOAT32 * len(moved),
        "average": _FLOAT32 * elements(shapes, parts),
    }
    kept = states["weights"] + states["optimiser"] + states["average"]
    if isinstance(engine, Replicated):
        gathered, exchange = 0, _FLOAT32 * elements(shapes) if ranks > 1 else 0
        most = kept + max(peak, states["gradients"] + exchange)
        held = max(0, peak - states["gradients"])
    else:
        gathered = width * elements(everything)
        layer, rest = _units(stage, moved)
        exchange = (width + _FLOAT32) * max(layer, rest)  # a unit's gradients, and in float32
        passing = max(peak + (width + _FLOAT32) * layer, (width + _FLOAT32) * rest)
        most = kept + states["gradients"] + gathered + passing
        held = peak
    return Memory(**states, gathered=gathered, exchange=exchange, activations=held, peak=most)


def elements(shapes: dict[str, torch.Size], parts: int = 1) -> int:
    """Elements of the first of `parts`, each tensor cut along its first axis."""
    return sum(-(-shape[0] // parts) * prod(shape[1:]) for shape in shapes.values())


def _units(stage: Stage, moved: dict[str, torch.Size]) -> tuple[int, int]:
    """Elements of the largest layer's gradients, and of those outside layers."""
    sizes = [
        sum(p.numel() for p in layer.parameters() if p.requires_grad)
        for layer in stage.policy.layers()
    ]
    layers = {id(p) for layer in stage.policy.layers() for p in layer.parameters()}
    rest = [name for name, p in stage.named_parameters() if id(p) not in layers and name in moved]
    return max(sizes), sum(prod(moved[name]) for name in rest)
