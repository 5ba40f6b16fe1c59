"""Bytes that `takt train --plan` counts at 4.7 B beside those of the model itself, sharded.

The model is built on the meta device and sharded by FSDP2 over a process group that only pretends
to have so many ranks; AdamW takes a step on it. What the first rank then holds is counted tensor by
tensor. Every parameter gets a gradient but those of the last language layer that nothing reads
(xr0-model reference, section 9).
"""

import json
import sys
from dataclasses import dataclass, replace

import torch
import torch.distributed as dist
import tyro
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore

from takt.recipes import xr0
from takt.training.engine import Sharded
from takt.training.plan_recipe import on_meta
from takt.training.planner import plan_stage

UNREAD = ("self_attn.q_", "self_attn.o_proj", "mlp.", "post_attention_layernorm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Compare."""

    ranks: int = 64
    """GPUs."""
    json: bool = False
    """Print one JSON object as the last line."""


def held(tensor: Tensor) -> int:
    """Bytes on this rank."""
    return (tensor.to_local() if isinstance(tensor, DTensor) else tensor).nbytes


def is_read(name: str, last: str) -> bool:
    """Whether a parameter reaches the loss of post-training."""
    if name.endswith("language_model.norm.weight"):
        return False
    return last not in name or not any(part in name for part in UNREAD)


def count(stage: nn.Module, layers: int, ranks: int) -> dict[str, int]:
    """Of the first of `ranks`."""
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=ranks)
    fully_shard(stage, mesh=dist.device_mesh.init_device_mesh("cpu", (ranks,)))
    last = f"language_model.layers.{layers - 1}."
    for name, parameter in stage.named_parameters():
        if is_read(name, last):
            parameter.grad = torch.zeros_like(parameter)
    optimiser = torch.optim.AdamW(stage.parameters(), foreach=False)
    optimiser.step()
    parameters = [*stage.parameters()]
    return {
        "weights": sum(held(p) for p in parameters),
        "gradients": sum(held(p.grad) for p in parameters if p.grad is not None),
        "optimiser": sum(held(x) for state in optimiser.state.values() for x in state.values()),
    }


def main(config: Config) -> int:
    """Print both; 1 unless they are the same."""
    recipe = xr0.xr0()
    small = replace(xr0.SPEC, cameras=tuple(replace(c, height=64, width=64) for c in CAMERAS))
    stage, batch = on_meta("post", recipe, small, 1)
    planned = plan_stage("post", stage, batch, Sharded(), config.ranks, bf16=False).memory
    stage, _ = on_meta("post", recipe, small, 1)
    counted = count(stage, recipe.model.text.num_hidden_layers, config.ranks)
    print(f"{config.ranks} ranks {'planned':>16} {'counted':>14}")
    for name, size in counted.items():
        print(f"{name:<10} {getattr(planned, name):14,} {size:14,}")
    same = all(getattr(planned, name) == size for name, size in counted.items())
    if config.json:
        print(json.dumps({"counted": counted, "exact": same}))
    return int(not same)


CAMERAS = xr0.SPEC.cameras

if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config)))
