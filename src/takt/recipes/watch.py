"""How a training is watched: progress, metrics, trackers, alarms and `training.html`."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from takt.datasets.atomic import write_atomically
from takt.extras import install_advice, require_extra
from takt.recipes.training_page import build_page
from takt.training.divergence import Divergence
from takt.training.metrics import Alarm, Metric, MetricsFile, StepReport, is_kept
from takt.training.trackers import TensorBoard, Tracker, Wandb
from takt.types import TaktError

PAGE = "training.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchConfig:
    """What is looked at while a run trains; the weights do not depend on it."""

    validate_every: int = 250
    """Steps between measurements on frames that are not trained on; 0 never."""
    rollout_every: int = 0
    """Steps between attempts in the simulator (nut-station and blocks have one); 0 never."""
    rollouts: int = 10
    """Attempts each time."""
    tensorboard: bool = True
    """Write OUT/tensorboard; --no-tensorboard does not."""
    wandb: str | None = None
    """Weights & Biases project to log to; its own WANDB_MODE=offline keeps it here."""

    def __post_init__(self) -> None:
        """Numbers that can be counted."""
        for name, least in (("validate_every", 0), ("rollout_every", 0), ("rollouts", 1)):
            if getattr(self, name) < least:
                flag = name.replace("_", "-")
                raise TaktError(f"expected --{flag} of at least {least}, got {getattr(self, name)}")

    def require(self, *, simulator: bool = True) -> None:
        """Raise unless what is asked for is installed, and the recipe's `simulator` does it."""
        if self.rollout_every and not simulator:
            raise TaktError(
                "expected no --rollout-every: this recipe has no simulator of your robot; leave it "
                "out, held-out frames are measured every --validate-every steps"
            )
        if self.tensorboard and find_spec("tensorboard") is None:
            raise TaktError(
                "expected tensorboard to write OUT/tensorboard, got none; "
                f"{install_advice('train')}, or pass --no-tensorboard"
            )
        if self.wandb is not None:
            require_extra("wandb", "--wandb")


STANDARD = WatchConfig()


class Watch:
    """Takes every metric of the stages that train in `folder`, a folder of the run `run`.

    The first rank's alone comes: the others are silent. Files are opened as stages begin. No page
    and no tracker ends a training by its errors: they are said once.
    """

    def __init__(
        self, config: WatchConfig, run: Path, folder: Path, stream: TextIO | None = None
    ) -> None:
        """Progress goes to `stream`, by default to standard output."""
        from takt.recipes.progress import Progress

        self._run, self._folder = run, folder
        self._progress = Progress(stream or sys.stdout)
        self._trackers: list[Tracker] = [TensorBoard(run)] if config.tensorboard else []
        self._trackers += [Wandb(run, config.wandb)] if config.wandb is not None else []
        self._open: tuple[str, MetricsFile, Divergence] | None = None
        self._page_failed = False

    def __enter__(self) -> Self:
        """Watch what is reported from here on."""
        self._progress.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave everything written, whatever ended the training."""
        self._progress.__exit__(kind, error, trace)
        if self._open is not None:
            self._open[1].close()
            self._track(lambda tracker: tracker.close())
            self._write_page()

    def report(self, stage: str, step: StepReport) -> None:
        """After every step."""
        losses = " ".join(f"{name} {value:.4f}" for name, value in step.losses.items())
        detail = f"{losses} (running means) {step.samples_per_s:.0f} samples/s"
        self._progress.show(stage, step.steps, step.step, detail)
        self.record(stage, step)

    def record(self, stage: str, metric: Metric) -> None:
        """Keep it; the page is written anew when a stage ends and after every measurement."""
        if self._open is None or self._open[0] != stage:
            self._begin(stage, metric.step)
        if not is_kept(metric):
            return
        assert self._open is not None
        _, file, divergence = self._open
        file.add(metric)
        self._track(lambda tracker: tracker.add(self._name(stage), metric))
        if isinstance(metric, StepReport):
            if message := divergence.check(metric.step, metric.losses["loss"]):
                self._alarm(stage, Alarm(step=metric.step, message=message))
            if metric.step < metric.steps:
                return
        self._write_page()

    def _begin(self, stage: str, step: int) -> None:
        if self._open is not None:
            self._open[1].close()
        file, divergence = MetricsFile(self._folder / stage, step), Divergence()
        for line in file.history:
            if isinstance(line.metric, StepReport):
                divergence.check(line.metric.step, line.metric.losses["loss"])
        self._track(lambda tracker: tracker.begin(self._name(stage), file.history))
        self._open = stage, file, divergence

    def _alarm(self, stage: str, alarm: Alarm) -> None:
        _warn(f"{self._name(stage)}, step {alarm.step}: {alarm.message}")
        self.record(stage, alarm)

    def _name(self, stage: str) -> str:
        return (self._folder / stage).relative_to(self._run).as_posix()

    def _track(self, call: Callable[[Tracker], None]) -> None:
        """One that fails gets nothing more."""
        for tracker in tuple(self._trackers):
            try:
                call(tracker)
            except Exception as error:
                self._trackers.remove(tracker)
                _warn(f"training goes on without {type(tracker).__name__}, which failed: {error}")

    def _write_page(self) -> None:
        try:
            write_atomically(self._run / PAGE, build_page(self._run).encode())
        except Exception as error:
            if not self._page_failed:
                _warn(f"training goes on, {PAGE} could not be written: {error}")
            self._page_failed = True


def _warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr, flush=True)
