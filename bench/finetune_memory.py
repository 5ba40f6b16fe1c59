"""What fine-tuning the released size keeps in memory beside activations, by mode.

python bench/finetune_memory.py [--preset 4.7b] [--lora 16] [--card-gb 24]
Counted on a meta-device model, as `takt train finetune` stores it from a bfloat16 checkpoint:
frozen weights in bfloat16; what learns in float32 with its gradient, AdamW's two moments and its
moving average. Full training adds autocast's bfloat16 copies of the weights. GB are 1e9 bytes.
"""

import sys
from dataclasses import dataclass
from typing import Annotated

import torch
from command import require_at_least, run
from tyro.conf import arg

from takt.policies.xr0.lora import count_adapters
from takt.policies.xr0.model import XR0
from takt.policies.xr0.presets import preset_or_file

LEARNING = 4 + 4 + 8 + 4  # weight, gradient, two moments, average
HALF = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Count bytes."""

    preset: str = "4.7b"
    """Size of the model, or its config.json."""
    lora: int = 16
    """Rank of the adapters."""
    card_gb: Annotated[float, arg(name="card-gb")] = 24.0
    """Memory of the card."""

    def __post_init__(self) -> None:
        """There is an adapter."""
        require_at_least(1, lora=self.lora)


def main(options: Options) -> int:
    """One line a mode."""
    with torch.device("meta"):
        model = XR0(preset_or_file(options.preset))
    whole = sum(parameter.numel() for parameter in model.parameters())
    vlm = sum(parameter.numel() for parameter in model.vlm.parameters())
    both = count_adapters(model, options.lora)
    expert = count_adapters(model, options.lora, skip="vlm.")
    modes = (
        ("full", 0, whole),
        ("--freeze vlm", vlm, whole - vlm),
        (f"--lora {options.lora}", whole, both),
        (f"--lora {options.lora} --freeze vlm", whole, expert),
    )
    print(f"{'mode':24} {'frozen M':>9} {'learning M':>10} {'GB':>7}  left of {options.card_gb:g}")
    for name, frozen, learning in modes:
        copies = HALF * learning  # autocast's, while a step runs
        total = (HALF * frozen + LEARNING * learning + copies) / 1e9
        left = options.card_gb - total
        verdict = f"{left:.1f} for activations" if left > 0 else "does not fit"
        print(f"{name:24} {frozen / 1e6:9.0f} {learning / 1e6:10.1f} {total:7.1f}  {verdict}")
    return 0


if __name__ == "__main__":
    sys.exit(run(main, Options))
