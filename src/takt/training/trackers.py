"""Where else a training's metrics go: TensorBoard's event files, Weights & Biases."""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from takt.training.metrics import Line, Metric, scalars

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

TENSORBOARD = "tensorboard"  # a run's folder for `tensorboard --logdir`


class Tracker(Protocol):
    """Takes the metrics of a run's stages, one stage after the other."""

    def begin(self, stage: str, history: Sequence[Line]) -> None:
        """`stage` begins, or goes on after `history`."""

    def add(self, stage: str, metric: Metric) -> None:
        """A new metric of the stage that has begun."""

    def close(self) -> None:
        """No more metrics come."""


class TensorBoard:
    """A TensorBoard run per stage, written anew from the history when the stage goes on."""

    def __init__(self, run: Path) -> None:
        """Event files go below `run/tensorboard`; nothing is made yet."""
        self._folder = run / TENSORBOARD
        self._writer: SummaryWriter | None = None

    def begin(self, stage: str, history: Sequence[Line]) -> None:
        """Open the stage's event file."""
        from torch.utils.tensorboard.writer import SummaryWriter

        self.close()
        shutil.rmtree(self._folder / stage, ignore_errors=True)
        self._writer = SummaryWriter(str(self._folder / stage), flush_secs=10)
        for line in history:
            self._write(line.metric, line.stamp)

    def add(self, stage: str, metric: Metric) -> None:
        """Append its numbers."""
        self._write(metric, None)

    def close(self) -> None:
        """Flush."""
        if self._writer is not None:
            self._writer.close()

    def _write(self, metric: Metric, stamp: float | None) -> None:
        assert self._writer is not None
        for name, value in scalars(metric).items():
            self._writer.add_scalar(name, value, metric.step, walltime=stamp)


class Wandb:
    """One W&B run for all stages, found again by the run folder; offline as its own settings say.

    W&B forgets nothing: after a kill the steps that are run again are there twice.
    """

    def __init__(self, run: Path, project: str) -> None:
        """Nothing is sent yet."""
        self._run, self._project = run, project
        self._session: Any = None

    def begin(self, stage: str, history: Sequence[Line]) -> None:
        """Each stage has a step axis of its own."""
        import wandb  # pyright: ignore[reportMissingImports]

        if self._session is None:
            folder = str(self._run.resolve())
            name = hashlib.sha256(folder.encode()).hexdigest()[:16]
            self._session = wandb.init(
                project=self._project, name=self._run.name, id=name, resume="allow", dir=folder
            )
        self._session.define_metric(f"{stage}/*", step_metric=f"{stage}/step")

    def add(self, stage: str, metric: Metric) -> None:
        """Send its numbers."""
        found = {f"{stage}/{name}": value for name, value in scalars(metric).items()}
        if found:
            self._session.log({**found, f"{stage}/step": metric.step})

    def close(self) -> None:
        """Finish the run."""
        if self._session is not None:
            self._session.finish()
