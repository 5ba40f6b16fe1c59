"""A run over a benchmark in the terminal: a bar on a screen, else a line every half minute."""

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from takt.benchmarks.vision_language.question import Answered

LOG_EVERY_S = 30.0


class AnswerProgress:
    """Follows a run; use as a context manager."""

    def __init__(self, title: str, total: int | None, console: Console) -> None:
        """`total` questions at most, None if that is not known."""
        self._title, self._total, self._console = title, total, console
        self._scores, self._logged = 0.0, time.monotonic()
        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, TextColumn("{task.fields[detail]}"), console=console)
        self._task = self._bar.add_task(title, total=total, detail="")

    def __enter__(self) -> "AnswerProgress":
        """Show the bar, if there is a screen."""
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave it as it is."""
        if self._console.is_terminal:
            self._bar.stop()

    def asked(self, done: int, answer: Answered) -> None:
        """Count one more."""
        self._scores += answer.score
        detail = f"mean score {self._scores / done:.3f}"
        if self._console.is_terminal:
            self._bar.update(self._task, completed=done, detail=detail)
        elif time.monotonic() - self._logged > LOG_EVERY_S:
            self._logged = time.monotonic()
            of = f" of at most {self._total}" if self._total else ""
            self._console.print(f"{self._title}: {done}{of} questions, {detail}", highlight=False)
