"""What can be chosen of a fine-tuning run. Torch is not imported here."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from takt.training.flow_objective import ObjectiveName
from takt.types import TaktError

ContractName = Literal["hf_release", "xr0_posttrain", "causal", "training_time_rtc"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneConfig:
    """Post-training of a checkpoint on one body's data.

    None stands for what the checkpoint or the data say.
    """

    steps: int = 2000
    """Updates. 0 writes the body's file and stops."""
    batch: int = 32
    """Frames an update; their noise draws come on top."""
    lr: float | None = None
    """Peak learning rate. By default 4e-4 below 100 M parameters and 1e-4 above; adapters 5 times
    that."""
    lora: int | None = None
    """Rank: train low-rank adapters of every linear layer, merged at the end, and nothing else."""
    freeze: Literal["vlm", "none"] = "none"
    """vlm: train the action expert and its projectors only."""
    horizon: int | None = None
    """T, actions a chunk; None: the checkpoint's for this body, else 1 s."""
    execute: int | None = None
    """T_e, actions executed before the next chunk is asked for; None: the checkpoint's for this
    body, else half the chunk."""
    contract: ContractName | None = None
    """How the action tokens are treated; by default as config.json of the checkpoint says. Two are
    baselines: causal, a plain flow policy, and training_time_rtc."""
    objective: ObjectiveName = "prefixed"
    """prefixed: chunks may begin with committed actions, where the contract allows it; paper: and
    errors are weighted by those the policy makes now; released: as the released trainer;
    synchronous: no committed actions."""
    image_pixels: tuple[int, int] | None = None
    """Smallest and largest area of an image; by default the checkpoint's."""
    layout: str | None = None
    """Released layout that the data is known to have; guessed from its names by default."""
    engine: Literal["replicated", "sharded", "deepspeed"] = "replicated"
    """sharded: weights, gradients and optimiser are shared out over the ranks (FSDP2); deepspeed:
    gradients and optimiser are, by DeepSpeed (ZeRO-2)."""
    recompute: bool = False
    """Keep no layer's activations but its input: less memory, a third more time."""
    draws: int = 4
    """Noise draws that share one pass of the VLM."""
    validation: float = 0.1
    """Share of the episodes held out (at least one, if there are two)."""
    conversations: tuple[Path, ...] = ()
    """Vision-language sets (JSON, JSONL, parquet; files, or folders of them) to learn beside the
    frames, every row equally often."""
    frames_per_conversation: int = 6
    """Frames of a batch for one conversation, of which each rank has one at least."""
    skip_bad: bool = False
    """Leave out damaged episodes and conversations; they are counted at the end."""
    seed: int = 0
    """Of the split, the batches and the adapters."""

    def __post_init__(self) -> None:
        """Numbers that make a run."""
        least = {"steps": 0, "batch": 1, "draws": 1, "seed": 0, "lora": 1, "horizon": 1}
        least |= {"execute": 1, "frames_per_conversation": 1}
        for name, smallest in least.items():
            given = getattr(self, name)
            if given is not None and given < smallest:
                option = name.replace("_", "-")
                raise TaktError(f"expected --{option} of at least {smallest}, got {given}")
        if self.conversations and self.freeze == "vlm":
            raise TaktError(
                "expected a VLM that learns from --conversations, got --freeze vlm; leave one out"
            )
        if not 0 <= self.validation < 1:
            raise TaktError(f"expected --validation in 0..1, 1 excluded, got {self.validation}")
        if self.lr is not None and not 0 < self.lr < math.inf:
            raise TaktError(f"expected a positive --lr, got {self.lr}")
