"""The one training loop: seeded per step, resumable to the step; a kill loses a minute at most."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from takt.training.batches import Batcher
from takt.training.checkpoint import TrainingState, load_state, save_state
from takt.training.ema import Ema
from takt.training.parallel import average_gradients, rank, world_size
from takt.training.stage import Stage
from takt.types import TaktError


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopConfig:
    """One stage's optimisation: AdamW, warm-up, then cosine to `final_ratio` of `lr`.

    Values: nano-training reference, section 2.
    """

    steps: int
    batch_size: int
    lr: float = 1e-3
    warmup: int = 100
    final_ratio: float = 0.02
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.05
    clip: float = 1.0
    ema_decay: float = 0.998
    bf16: bool = False
    seed: int = 0
    save_every_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What a progress display shows: running means of the named losses and the pace."""

    step: int
    steps: int
    losses: dict[str, float]
    samples_per_s: float


class DivergedError(TaktError):
    """The loss is not finite."""


def train_stage(
    stage: Stage,
    batcher: Batcher,
    config: LoopConfig,
    path: Path,
    report: Callable[[StepReport], None],
) -> None:
    """Train `stage` to its last step and leave its averaged (EMA) weights in it.

    Resumes from `path`, which is rewritten every `save_every_s` seconds by rename.
    """
    share = _rank_share(config.batch_size)
    parameters = stage.trainable()
    optimiser = torch.optim.AdamW(
        parameters, lr=config.lr, betas=config.betas, weight_decay=config.weight_decay, fused=True
    )
    ema = Ema(parameters, config.ema_decay)
    step = _resume(path, stage, optimiser, ema)
    means: dict[str, float] = {}
    saved, began, first = time.monotonic(), time.monotonic(), step
    while step < config.steps:
        generator = torch.Generator().manual_seed(draw_seed(config.seed, step, rank()))
        batch = batcher.draw(share, generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=config.bf16):
            losses = stage.losses(batch, generator)
        _update(
            losses["loss"], parameters, optimiser, learning_rate(config, step), config.clip, step
        )
        ema.update(step)
        step += 1
        for name, value in losses.items():
            means[name] = 0.98 * means.get(name, value.item()) + 0.02 * value.item()
        pace = (step - first) * config.batch_size / (time.monotonic() - began)
        if rank() != 0:
            continue
        report(StepReport(step=step, steps=config.steps, losses=dict(means), samples_per_s=pace))
        if time.monotonic() - saved > config.save_every_s or step == config.steps:
            save_state(
                path, TrainingState(step, stage.state_dict(), optimiser.state_dict(), ema.shadow)
            )
            saved = time.monotonic()
    ema.copy_to_parameters()


def draw_seed(seed: int, step: int, rank: int) -> int:
    """A generator seed of its own for every step and rank."""
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0] >> 1)


def learning_rate(config: LoopConfig, step: int) -> float:
    """Linear warm-up, then cosine to `final_ratio` of the peak."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    share = (step - config.warmup) / max(1, config.steps - config.warmup)
    cosine = 0.5 * (1 + np.cos(np.pi * min(1.0, share)))
    return config.lr * (config.final_ratio + (1 - config.final_ratio) * float(cosine))


def _rank_share(batch_size: int) -> int:
    if batch_size % world_size():
        raise TaktError(
            f"expected ranks that divide a batch of {batch_size}, got {world_size()}; "
            "choose other --ranks"
        )
    return batch_size // world_size()


def _update(
    loss: Tensor,
    parameters: list[nn.Parameter],
    optimiser: torch.optim.Optimizer,
    lr: float,
    clip: float,
    step: int,
) -> None:
    if not torch.isfinite(loss):
        raise DivergedError(
            f"loss is {loss.item()} at step {step}; lower lr or check the data's statistics"
        )
    for group in optimiser.param_groups:
        group["lr"] = lr
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    average_gradients(parameters)
    torch.nn.utils.clip_grad_norm_(parameters, clip)
    optimiser.step()


def _resume(path: Path, stage: Stage, optimiser: torch.optim.Optimizer, ema: Ema) -> int:
    if not path.is_file():
        return 0
    state = load_state(path)
    try:
        stage.load_state_dict(state.stage)
        optimiser.load_state_dict(state.optimiser)
    except (RuntimeError, ValueError) as error:
        raise TaktError(
            f"{path} holds the state of another model ({error}); delete it to start the stage anew"
        ) from error
    ema.shadow = state.ema
    return state.step
