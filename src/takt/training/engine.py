"""Where a stage's weights, gradients and optimiser live while it trains; no number depends on it.

The model's own module keeps its weights between stages: a sharded stage trains a copy.
"""

import copy
import warnings
from dataclasses import dataclass

import torch
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import (
    MixedPrecisionPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from torch.distributed.tensor import DTensor

from takt.policies.common.layers import set_recompute
from takt.policies.xr0.dit import DiTLayer
from takt.training.deepspeed_updater import DeepSpeedUpdater
from takt.training.parallel import device, world_size
from takt.training.stage import Stage
from takt.training.updater import Updater
from takt.types import TaktError


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicated:
    """Every rank holds all of it; gradients are averaged once a step. bf16 by autocast.

    Attributes:
        recompute: Gradient checkpointing of every layer.
    """

    recompute: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharded:
    """FSDP2: optimiser, gradients and float32 weights are shared out over the ranks.

    Weights are gathered once a step, in bfloat16 with bf16, and kept until its end (ZeRO-2).
    Nothing can be measured while it trains: no rank has the weights to work with.

    Attributes:
        recompute: Gradient checkpointing of every layer.
        replicas: Groups that hold one whole share-out each, such as nodes (HSDP); gradients are
            reduced inside a group, then over groups.
    """

    recompute: bool = False
    replicas: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeRO2:
    """DeepSpeed: optimiser, gradients and a second copy of the weights are shared out.

    Every rank holds all float32 weights, so that it can measure while it trains; bf16 by autocast.
    Needs the extra "deepspeed".

    Attributes:
        recompute: Gradient checkpointing of every layer.
    """

    recompute: bool = False


Engine = Replicated | Sharded | ZeRO2
REPLICATED = Replicated()
ENGINES = {"replicated": Replicated, "sharded": Sharded, "deepspeed": ZeRO2}
"""By the names that users choose them by."""


def place(stage: Stage, engine: Engine, *, bf16: bool) -> Stage:
    """The stage to train in place of `stage`; `bring_back` its weights afterwards.

    Raises:
        TaktError: replicas that do not divide the ranks.
    """
    if isinstance(engine, Sharded) and world_size() > 1:
        placed = copy.deepcopy(stage).to(device())
        set_recompute(placed.policy.layers(), engine.recompute)
        return _shard(placed, _mesh(engine.replicas), bf16)
    set_recompute(stage.policy.layers(), engine.recompute)
    return stage.to(device())


@torch.no_grad()
def bring_back(placed: Stage, stage: Stage) -> None:
    """Copy the trained weights into `stage` on every rank."""
    if placed is stage:
        return
    for ours, trained in zip(stage.parameters(), placed.parameters(), strict=True):
        ours.copy_(trained.full_tensor() if isinstance(trained, DTensor) else trained)


def precision(placed: Stage, *, bf16: bool) -> torch.autocast:
    """Autocast of a forward pass; a sharded stage's weights are bfloat16 as they are gathered."""
    return torch.autocast(device().type, torch.bfloat16, enabled=bf16 and not _is_sharded(placed))


def updater(
    placed: Stage, engine: Engine, optimiser: torch.optim.Optimizer, clip: float
) -> Updater | DeepSpeedUpdater:
    """Of the parameters of `placed` that `optimiser` has; close it after the last step.

    Raises:
        TaktError: an engine whose package is not installed.
    """
    if isinstance(engine, ZeRO2) and world_size() > 1:
        return DeepSpeedUpdater(placed, optimiser, placed.trainable(), clip)
    return Updater(optimiser, placed.trainable(), clip)


def _is_sharded(placed: Stage) -> bool:
    return isinstance(next(placed.parameters()), DTensor)


def _shard(stage: Stage, mesh: DeviceMesh, bf16: bool) -> Stage:
    """In place, a unit per layer and one for the rest."""
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if bf16 else None,
        reduce_dtype=torch.float32,
        cast_forward_inputs=False,  # the model casts where it must, as in inference
    )
    for layer in stage.policy.layers():
        # A DiT layer's table is read outside its forward, with those of all layers at once.
        unit = [layer.attn, layer.mlp] if isinstance(layer, DiTLayer) else layer
        fully_shard(unit, mesh=mesh, reshard_after_forward=False, mp_policy=policy)
    fully_shard(stage, mesh=mesh, reshard_after_forward=False, mp_policy=policy)
    register_fsdp_forward_method(stage, "losses")
    # Keys and values leave their layer as views, which nobody writes to.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
    return stage


def _mesh(replicas: int) -> DeviceMesh:
    ranks = world_size()
    if ranks % replicas:
        raise TaktError(f"expected replicas that divide {ranks} ranks, got {replicas}")
    if replicas == 1:
        return init_device_mesh(device().type, (ranks,), mesh_dim_names=("shard",))
    shape = (replicas, ranks // replicas)
    return init_device_mesh(device().type, shape, mesh_dim_names=("replicate", "shard"))
