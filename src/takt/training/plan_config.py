"""What can be asked of a dry run. Torch is not imported here."""

from dataclasses import dataclass, fields
from typing import Literal

from takt.types import TaktError

PresetName = Literal["nano", "cpu-bench", "4.7b"]
CardName = Literal["rtx-4090", "l40s", "a100", "h100", "h200", "b200"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A GPU by its data sheet: dense bfloat16 TFLOP/s with float32 sums, memory in GB."""

    tflops: float
    memory_gb: float


CARDS: dict[str, Card] = {
    "rtx-4090": Card(tflops=165.2, memory_gb=24),
    "l40s": Card(tflops=362, memory_gb=48),
    "a100": Card(tflops=312, memory_gb=80),
    "h100": Card(tflops=989, memory_gb=80),
    "h200": Card(tflops=989, memory_gb=141),
    "b200": Card(tflops=2250, memory_gb=180),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanConfig:
    """A dry run instead of a training."""

    plan: bool = False
    """Print memory, arithmetic and days, and train nothing."""
    gpus: int = 1
    """GPUs of the dry run, one rank each."""
    card: CardName = "h100"
    """Which GPU."""
    utilisation: float = 0.4
    """Share of the card's peak that is assumed to be reached."""
    preset: PresetName | None = None
    """Size of the model; the recipe's by default."""
    micro_batch: int | None = None
    """Samples a GPU computes at once; its whole share of a batch by default."""
    engine: Literal["replicated", "sharded"] = "sharded"
    """replicated: every GPU holds all; sharded: optimiser and gradients are shared out (FSDP2)."""
    replicas: int = 1
    """Groups of GPUs that each hold one whole share-out, such as nodes (HSDP)."""
    recompute: bool = False
    """Gradient checkpointing of every layer."""

    def __post_init__(self) -> None:
        """Numbers that make a plan."""
        for name in ("gpus", "micro_batch", "replicas"):
            if (number := getattr(self, name)) is not None and number < 1:
                raise TaktError(f"expected at least 1, got --{name.replace('_', '-')} {number}")
        if self.gpus % self.replicas:
            raise TaktError(f"expected replicas that divide {self.gpus} GPUs, got {self.replicas}")
        if not 0 < self.utilisation <= 1:
            raise TaktError(f"expected --utilisation in 0..1, got {self.utilisation}")

    def require_unasked(self) -> None:
        """Raise where something of a dry run is chosen: a training would not do it."""
        chosen = [each.name for each in fields(self) if getattr(self, each.name) != each.default]
        if chosen:
            option = chosen[0].replace("_", "-")
            raise TaktError(f"--{option} is for a dry run only: add --plan, or leave it out")
