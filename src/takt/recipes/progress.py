"""How a long run looks in a terminal, or in a log file."""

import math
import time
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

LOG_EVERY_S = 30.0


class Progress:
    """A bar for each task on a terminal, else a line every half minute and at a task's end."""

    def __init__(self, stream: TextIO) -> None:
        """Nothing is shown before the first `show`."""
        # A name or a detail may hold what rich takes for markup.
        name, detail = (
            TextColumn(f"{{task.{field}}}", markup=False)
            for field in ("description", "fields[detail]")
        )
        columns = name, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), detail
        self._stream = stream
        self._live = stream.isatty()
        self._bars = Bars(*columns, console=Console(file=stream))
        self._tasks: dict[str, TaskID] = {}
        self._logged = -math.inf

    def __enter__(self) -> Self:
        """Whatever ends the run, the terminal is given back."""
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

    def show(self, task: str, total: int | None, done: int, detail: str = "") -> None:
        """`done` of at most `total`, None if that is not known; lines begin with the first done."""
        if self._live:
            if task not in self._tasks:
                self._bars.start()
                self._tasks[task] = self._bars.add_task(task, total=total, detail="")
            self._bars.update(self._tasks[task], completed=done, detail=detail)
            return
        is_due = time.monotonic() - self._logged > LOG_EVERY_S
        if done and (is_due or done == total):
            self._logged = time.monotonic()
            count = f"{done}" if total is None else f"{done}/{total}"
            print(f"{task} {count} {detail}".rstrip(), file=self._stream, flush=True)
