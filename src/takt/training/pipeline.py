"""A whole recipe: demonstrations, then every stage in turn, each resumable; ends in a checkpoint directory."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from takt.datasets.lerobot import LeRobotDataset
from takt.policies.xr0.choice import ChoiceConfig
from takt.policies.xr0.config import XR0Config
from takt.policies.xr0.model import XR0
from takt.policies.xr0.processor import XR0Processor
from takt.policies.xr0.tokenizer import build_tokenizer
from takt.policies.xr0.weights import BodyStatistics, Checkpoint, save_checkpoint
from takt.training.choice_pretraining import ChoicePretraining
from takt.training.flow_training import FlowTraining
from takt.training.frames import Batcher, Frames, stack_episodes
from takt.training.loop import LoopConfig, Stage, StepReport, train_stage
from takt.training.parallel import barrier, rank
from takt.transforms.actions import ActionTransform, fit_action_statistics
from takt.transforms.slots import Slots
from takt.transforms.states import StateTransform, fit_state_statistics
from takt.types import EmbodimentSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounding:
    """Image points stored with the episodes: column, points per view, and which point each mirrors."""

    key: str
    points_per_view: int
    mirror: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """A policy's training from its dataset.

    Attributes:
        horizon: T, actions per chunk.
        execute: T_e, actions executed before the next inference; d <= T_e <= T - d.
        candidates: N of the choice heads.
        draws: Noise draws that share one VLM pass in the flow stages.
        max_prefix: Longest clean prefix of asynchronous training; 0 trains synchronous execution only.
    """

    model: XR0Config
    horizon: int
    execute: int
    candidates: int
    draws: int
    max_prefix: int
    grounding: Grounding
    choice: LoopConfig
    expert: LoopConfig
    post: LoopConfig
    seed: int = 0


STAGES = ("choice", "expert", "post")
Report = Callable[[str, StepReport], None]


def train(
    config: TrainingConfig, spec: EmbodimentSpec, data: Path, out: Path, report: Report
) -> None:
    """Run every stage in this process (one rank of a group, or alone) and write `out/policy`."""
    if rank() == 0:
        out.mkdir(parents=True, exist_ok=True)
        (out / "config.json").write_text(json.dumps(asdict(config), indent=1) + "\n")
    torch.manual_seed(config.seed)
    policy, tokenizer = XR0(config.model), build_tokenizer()
    frames = _load(data, out, spec, config)
    body = fit(frames, spec, config)
    processor = XR0Processor(config.model, tokenizer, [camera.view for camera in spec.cameras])
    batcher = Batcher(
        frames,
        spec,
        processor,
        ActionTransform.of(spec, body.action),
        StateTransform(Slots(spec.slots, config.model.state_dim), body.state),
        config.grounding.mirror,
    )
    for name in STAGES:
        stage = build_stage(name, policy, config, spec, batcher.action_mask)
        loop: LoopConfig = getattr(config, name)
        train_stage(
            stage, batcher, loop, out / f"{name}.pt", lambda step, name=name: report(name, step)
        )
        barrier()
    if rank() == 0:
        checkpoint = Checkpoint(model=policy, tokenizer=tokenizer, bodies={spec.name: body})
        save_checkpoint(out / "policy", checkpoint)


def fit(frames: Frames, spec: EmbodimentSpec, config: TrainingConfig) -> BodyStatistics:
    """Statistics of every chunk and state of the data."""
    import numpy as np

    chunks, _ = frames.chunk(np.arange(len(frames)), config.horizon)
    eps = config.model.contract.decode_eps
    return BodyStatistics(
        action=fit_action_statistics(chunks, frames.state, spec, config.model.action_dim, eps),
        state=fit_state_statistics(frames.state, Slots(spec.slots, config.model.state_dim)),
        execute_horizon=config.execute,
    )


def build_stage(
    name: str, policy: XR0, config: TrainingConfig, spec: EmbodimentSpec, action_mask: torch.Tensor
) -> Stage:
    """A stage's loss around `policy`."""
    match name:
        case "choice":
            heads = ChoiceConfig(
                candidates=config.candidates,
                horizon=config.horizon,
                views=len(spec.cameras),
                points_per_view=config.grounding.points_per_view,
            )
            return ChoicePretraining(policy, heads, action_mask)
        case "expert":
            return FlowTraining(
                policy,
                action_mask,
                draws=config.draws,
                freeze_vlm=True,
                max_prefix=config.max_prefix,
            )
        case "post":
            return FlowTraining(
                policy,
                action_mask,
                draws=config.draws,
                freeze_vlm=False,
                max_prefix=config.max_prefix,
            )
    raise AssertionError(f"no stage {name!r}")


def _load(data: Path, out: Path, spec: EmbodimentSpec, config: TrainingConfig) -> Frames:
    """Decode the dataset once, on the first rank; all ranks map the result."""
    folder, complete = out / "frames", out / "frames" / "complete"
    if rank() == 0 and not complete.exists():
        dataset = LeRobotDataset.open(data)
        episodes = (dataset.episode(index) for index in range(len(dataset)))
        stack_episodes(episodes, spec, config.grounding.key).save(folder)
        complete.touch()
    barrier()
    return Frames.map(folder)
