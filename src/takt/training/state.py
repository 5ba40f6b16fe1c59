"""Everything that a stopped stage needs to go on as if it had not stopped."""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from takt.training.checkpoint import Shapes, load_tensors, save_tensors, saved_step
from takt.training.deepspeed_updater import DeepSpeedUpdater
from takt.training.ema import Ema
from takt.training.stage import Stage
from takt.training.updater import Updater


class TrainingState:
    """A stage's weights, their average, the optimiser's moments, steps done and running losses."""

    def __init__(self, stage: Stage, updater: Updater | DeepSpeedUpdater, ema: Ema) -> None:
        """At step 0, or wherever `load` finds it."""
        self.step = 0
        self.losses: dict[str, float] = {}
        self.stage, self.updater, self.ema = stage, updater, ema

    def advance(self, losses: dict[str, float]) -> None:
        """A step with `losses` was done; `self.losses` are running means."""
        self.ema.update(self.step)
        self.step += 1
        for name, value in losses.items():
            before = self.losses.get(name, value)
            self.losses[name] = 0.98 * before + 0.02 * value

    def save(self, folder: Path) -> None:
        """Write it; every rank calls."""
        tensors = {
            **self._in_place(),
            **{f"loss.{n}": torch.tensor(x, dtype=torch.float64) for n, x in self.losses.items()},
            "step": torch.tensor(self.step),
        }
        moments = self.updater.moments()
        for name, parameter in self._trained().items():
            for slot, value in moments.get(parameter, {}).items():
                tensors[f"optimiser.{slot}.{name}"] = value
        save_tensors(folder, self.step, tensors)

    def load(self, folder: Path) -> None:
        """Go on from the newest state in `folder`, if there is one; every rank calls.

        Raises:
            TaktError: it is broken, or another model's.
        """
        path = saved_step(folder)
        if path is None:
            return
        moments: dict[Tensor, dict[str, Tensor]] = {}
        tensors = load_tensors(path, partial(self._targets, moments))
        self.updater.restore(moments)
        self.step = int(tensors["step"].item())
        self.losses = {
            name.removeprefix("loss."): value.item()
            for name, value in tensors.items()
            if name.startswith("loss.")
        }

    def _targets(
        self, moments: dict[Tensor, dict[str, Tensor]], stored: Shapes
    ) -> dict[str, Tensor]:
        """What to fill: what there always is, and the `moments` and losses that are `stored`."""
        tensors = {**self._in_place(), "step": torch.tensor(0)}
        for name in stored:
            if name.startswith("loss."):
                tensors[name] = torch.tensor(0.0, dtype=torch.float64)
        for name, parameter in self._trained().items():
            for slot in _slots(stored, name):
                like = self.updater.blank(parameter)
                value = like if stored[f"optimiser.{slot}.{name}"] else torch.tensor(0.0)
                moments.setdefault(parameter, {})[slot] = value
                tensors[f"optimiser.{slot}.{name}"] = value
        return tensors

    def _in_place(self) -> dict[str, Tensor]:
        weights = {f"stage.{name}": tensor for name, tensor in self.stage.state_dict().items()}
        averages = zip(self._trained(), self.ema.shadow, strict=True)
        return {**weights, **{f"ema.{name}": tensor for name, tensor in averages}}

    def _trained(self) -> dict[str, nn.Parameter]:
        """By name, in the order of `stage.trainable`."""
        names = {parameter: name for name, parameter in self.stage.named_parameters()}
        return {names[parameter]: parameter for parameter in self.stage.trainable()}


def _slots(stored: Shapes, name: str) -> list[str]:
    return [
        slot
        for slot in ("step", "exp_avg", "exp_avg_sq", "momentum_buffer")
        if f"optimiser.{slot}.{name}" in stored
    ]
