"""What is measured of a stage that acts while it trains."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from takt.policies.xr0.checkpoint import Checkpoint, save_checkpoint
from takt.training.batches import Batch, Batcher
from takt.training.choice_pretraining import ChoicePretraining
from takt.training.engine import precision
from takt.training.frames import Frames
from takt.training.loop import Check, LoopConfig
from takt.training.metrics import Metric, Rollouts, Validation
from takt.training.parallel import world_size
from takt.training.stage import Stage
from takt.training.validation import BATCH, LIMIT, held_out_losses, numbers, open_loop_error
from takt.transforms.actions import ActionTransform
from takt.types import EmbodimentSpec

Attempts = Callable[[Path, int], Rollouts]
"""Lets the checkpoint in a folder work in a simulator; told which step it is of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """Of the averaged weights; none by default.

    Attributes:
        held_out: Frames of the body that are not trained on.
        validate_every: Steps between measurements on them; 0 never.
        attempts: What makes rollouts, where there is a simulator.
        rollout_every: Steps between rollouts; 0 never.
        record: Takes what was found, with the name of the stage.
    """

    held_out: Frames | None = None
    validate_every: int = 0
    attempts: Attempts | None = None
    rollout_every: int = 0
    record: Callable[[str, Metric], None] = lambda stage, metric: None

    def checks(
        self,
        name: str,
        stage: Stage[Batch],
        batcher: Batcher,
        checkpoint: Checkpoint,
        spec: EmbodimentSpec,
        loop: LoopConfig,
    ) -> list[Check]:
        """For the stage `name` around the checkpoint's model; plans count once flow makes them."""
        acts = not isinstance(stage, ChoicePretraining)
        # What fits while a rank trains fits here.
        batch = min(BATCH, max(1, loop.batch_size // (loop.accumulate * world_size())))
        checks: list[Check] = []
        if (frames := self.held_out) is not None and self.validate_every:
            actions = ActionTransform.of(spec, checkpoint.body(spec.name).action)

            def validate(step: int) -> None:
                with precision(stage, bf16=loop.bf16):
                    planned = actions if acts else None
                    found = _validation(step, stage, batcher, frames, planned, batch)
                self.record(name, found)

            checks.append(Check(every=self.validate_every, run=validate))
        if (attempts := self.attempts) is not None and self.rollout_every and acts:

            def work(step: int) -> None:
                with TemporaryDirectory(prefix="takt-rollout-") as folder:
                    save_checkpoint(Path(folder) / "policy", checkpoint, torch.float16)
                    self.record(name, attempts(Path(folder) / "policy", step))

            checks.append(Check(every=self.rollout_every, run=work))
        return checks


NOTHING = Measures()


def _validation(
    step: int,
    stage: Stage[Batch],
    batcher: Batcher,
    frames: Frames,
    actions: ActionTransform | None,
    batch: int,
) -> Validation:
    losses = held_out_losses(stage, batcher, frames, batch=batch)
    if actions is None:
        return Validation(step=step, frames=min(LIMIT, len(frames)), losses=losses)
    error = open_loop_error(stage.policy, batcher, frames, actions, batch=batch)
    return Validation(
        step=step,
        frames=error.frames,
        losses=losses,
        error_by_step=tuple(numbers(error.by_step)),
        mean_action_by_step=tuple(numbers(error.mean_action)),
    )
