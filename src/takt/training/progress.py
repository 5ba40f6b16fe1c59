"""How a training run looks in a terminal, or in a log file."""

import sys
import time
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from takt.training.metrics import StepReport
from takt.training.parallel import rank

LOG_EVERY_S = 30.0


class Progress:
    """A bar per stage on a terminal, else a line every half minute; silent but on rank 0."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Writes to `stream`, by default to standard output."""
        self._stream = sys.stdout if stream is None else stream
        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bars = Bars(
            *columns, TextColumn("{task.fields[detail]}"), console=Console(file=self._stream)
        )
        self._tasks: dict[str, int] = {}
        self._live = rank() == 0 and self._stream.isatty()
        self._logged = 0.0

    def __enter__(self) -> "Progress":
        """Show the bars."""
        if self._live:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the bars as they are."""
        if self._live:
            self._bars.stop()

    def report(self, stage: str, step: StepReport) -> None:
        """Show one step of `stage`."""
        losses = " ".join(f"{name} {value:.4f}" for name, value in step.losses.items())
        detail = f"{losses} {step.samples_per_s:.0f} samples/s"
        if self._live:
            if stage not in self._tasks:
                self._tasks[stage] = self._bars.add_task(stage, total=step.steps, detail="")
            self._bars.update(self._tasks[stage], completed=step.step, detail=detail)  # type: ignore[arg-type]
        elif time.monotonic() - self._logged > LOG_EVERY_S or step.step == step.steps:
            self._logged = time.monotonic()
            line = f"{stage} {step.step}/{step.steps} {detail}"
            print(line, file=self._stream, flush=True)
