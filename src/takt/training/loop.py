"""The one training loop: seeded per step, resumable to the step; a kill loses a minute at most."""

import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from takt.datasets.prefetch import prefetched
from takt.training.ema import Ema
from takt.training.engine import (
    REPLICATED,
    Engine,
    bring_back,
    place,
    precision,
    updater,
)
from takt.training.metrics import StepReport
from takt.training.parallel import agree, device, mean, rank, world_size
from takt.training.shards import Shard
from takt.training.stage import B, Source, Stage
from takt.training.state import TrainingState
from takt.types import TaktError

Draws = Generator[tuple[B, torch.Generator], None, None]
"""The batch of each pass in turn, and the generator that drew it, for what its loss draws."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopConfig:
    """One stage's optimisation: warm-up, then cosine to `final_ratio` of `lr`.

    Values: nano-training reference, section 2.

    Attributes:
        batch_size: Of a step, over all ranks.
        accumulate: Passes that a step's batch is computed in; each draws its part of the batch, and
            a masked mean runs over one part.
        optimiser: "sgd" is for comparing engines: AdamW magnifies the rounding of a gradient that
            is almost 0 to the size of the learning rate.
    """

    steps: int
    batch_size: int
    accumulate: int = 1
    optimiser: Literal["adamw", "sgd"] = "adamw"
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
class Check:
    """Something to measure after every so many steps and the last one.

    Attributes:
        every: Steps in between.
        run: Called with the step on the first rank, with the averaged weights in the stage. It
            draws from generators of its own: a step's draws depend on its number alone. Its
            errors are said and the stage goes on, else a resumed one would end there for ever.
    """

    every: int
    run: Callable[[int], None]

    def is_due(self, step: int, steps: int) -> bool:
        """After `step` of `steps`."""
        return step % self.every == 0 or step == steps


class DivergedError(TaktError):
    """The loss or its gradient is not finite."""


def train_stage(
    stage: Stage[B],
    batcher: Source[B],
    config: LoopConfig,
    folder: Path,
    report: Callable[[StepReport], None],
    engine: Engine = REPLICATED,
    checks: Sequence[Check] = (),
) -> None:
    """Train `stage` to its last step and leave its averaged (EMA) weights in it.

    Every rank calls it. Resumes from `folder`, written every `save_every_s` seconds, on as many
    ranks and with whatever engine. The weights do not depend on `checks`, nor does the pace; where
    ranks share out the weights (`Sharded`), checks are left out with a warning.

    Raises:
        DivergedError: the loss or its gradient is not finite; names the stage by its folder, and
            the step. The state in `folder` is that of an earlier, finite step.
    """
    placed = place(stage, engine, bf16=config.bf16)
    checks = _possible(checks, is_whole=placed is stage)
    parameters = placed.trainable()
    ema = Ema(parameters, config.ema_decay)
    update = updater(placed, engine, _optimiser(config, parameters), config.clip)
    state = TrainingState(placed, update, ema)
    state.load(folder)
    first, began = state.step, time.monotonic()
    saved = began
    with closing(update), closing(_draws(batcher, config, first)) as draws:
        while state.step < config.steps:
            try:
                state.advance(_step(state, draws, config))
            except DivergedError as error:
                raise DivergedError(f"{folder.name}: {error}") from None
            pace = (state.step - first) * config.batch_size / (time.monotonic() - began)
            if rank() == 0:
                report(_report(state, config, pace))
            began += _check(checks, state, config)
            due = time.monotonic() - saved > config.save_every_s
            if state.step == config.steps or agree(due):
                state.save(folder)
                saved = time.monotonic()
    ema.copy_to_parameters()
    bring_back(placed, stage)


def _draws(batcher: Source[B], config: LoopConfig, first: int) -> Draws[B]:
    """From step `first` on; each is made when it is asked for or, where a GPU computes, before.

    On the CPU the thread that draws would take its time from the one that computes.
    """
    size, shard = _part_size(config), Shard(rank(), world_size())

    def draw(job: tuple[int, int]) -> tuple[B, torch.Generator]:
        generator = torch.Generator().manual_seed(draw_seed(config.seed, *job))
        return batcher.draw(size, generator, shard), generator

    passes = range(config.accumulate)
    jobs = ((step, part) for step in range(first, config.steps) for part in passes)
    if _draws_ahead():
        yield from prefetched(jobs, draw, workers=1, ahead=2)
    else:
        yield from map(draw, jobs)


def _draws_ahead() -> bool:
    return device().type != "cpu"


def _step(
    state: TrainingState, draws: Iterator[tuple[B, torch.Generator]], config: LoopConfig
) -> dict[str, float]:
    """Draw, differentiate and update; the losses' means over passes and ranks."""
    stage, step = state.stage, state.step
    sums: dict[str, float] = {}
    for part in range(config.accumulate):
        batch, generator = next(draws)
        with precision(stage, bf16=config.bf16):
            losses = stage.losses(batch.to(device()), generator)
        for name, value in _means(losses, step).items():
            sums[name] = sums.get(name, 0.0) + value / config.accumulate
        last = part + 1 == config.accumulate
        state.updater.backward(losses["loss"] / config.accumulate, last=last)
    norm = state.updater.step(learning_rate(config, step))
    if not np.isfinite(norm):
        raise DivergedError(
            f"the gradient's norm is {norm} at step {step}; lower lr or check the data's statistics"
        )
    return sums


def _possible(checks: Sequence[Check], *, is_whole: bool) -> Sequence[Check]:
    if is_whole:
        return checks
    if checks and rank() == 0:
        _warn("nothing is measured while the sharded engine trains; evaluate the checkpoint")
    return ()


def _check(checks: Sequence[Check], state: TrainingState, config: LoopConfig) -> float:
    """Make those that are due; the seconds that they took."""
    due = [check for check in checks if check.is_due(state.step, config.steps)]
    if not due or rank() != 0:
        return 0.0
    began = time.monotonic()
    with state.ema.in_place():
        for check in due:
            try:
                check.run(state.step)
            except Exception as error:
                found = f"{type(error).__name__}: {error}"
                _warn(f"step {state.step} was not measured, training goes on ({found})")
    return time.monotonic() - began


def _warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr, flush=True)


def draw_seed(seed: int, step: int, part: int) -> int:
    """A generator seed of its own for every step and part of a step's batch."""
    return int(np.random.SeedSequence((seed, step, part)).generate_state(1, np.uint64)[0] >> 1)


def learning_rate(config: LoopConfig, step: int) -> float:
    """Linear warm-up, then cosine to `final_ratio` of the peak."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    share = (step - config.warmup) / max(1, config.steps - config.warmup)
    cosine = 0.5 * (1 + np.cos(np.pi * min(1.0, share)))
    return config.lr * (config.final_ratio + (1 - config.final_ratio) * float(cosine))


def _report(state: TrainingState, config: LoopConfig, pace: float) -> StepReport:
    losses = dict(state.losses)
    return StepReport(step=state.step, steps=config.steps, losses=losses, samples_per_s=pace)


def _part_size(config: LoopConfig) -> int:
    if config.batch_size % config.accumulate:
        raise TaktError(
            f"expected passes that divide a batch of {config.batch_size}, "
            f"got accumulate {config.accumulate}"
        )
    return config.batch_size // config.accumulate


def _optimiser(config: LoopConfig, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    match config.optimiser:
        case "adamw":
            decay = config.weight_decay
            return torch.optim.AdamW(
                parameters, lr=config.lr, betas=config.betas, weight_decay=decay, fused=True
            )
        case "sgd":
            return torch.optim.SGD(parameters, lr=config.lr)


def _means(losses: dict[str, Tensor], step: int) -> dict[str, float]:
    """Over ranks.

    Raises:
        DivergedError: the loss is not finite on one of them; all raise.
    """
    values = mean(torch.stack([value.detach().float() for value in losses.values()])).tolist()
    means = dict(zip(losses, values, strict=True))
    if not np.isfinite(means["loss"]):
        raise DivergedError(
            f"loss is {means['loss']} at step {step}; lower lr or check the data's statistics"
        )
    return means
