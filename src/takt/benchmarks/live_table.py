"""The shift in the terminal: a live table on a screen, one line per cycle in a pipe."""

import time
from collections import deque

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from takt.benchmarks.cycle import CycleRecord
from takt.embodiments.nut_station.cycle import SIDES, TAKT_S
from takt.types import Seconds

ROWS = 12


class LiveTable:
    """Follows a shift; use as a context manager."""

    def __init__(self, cycles: int, title: str, console: Console | None = None) -> None:
        """`cycles` is how many the shift has."""
        self._cycles, self._title = cycles, title
        self._console = console or Console()
        self._recent: deque[CycleRecord] = deque(maxlen=ROWS)
        self._ended = self._good = self._run = 0
        self._current: tuple[int, Seconds] | None = None
        self._began = time.monotonic()
        self._live = Live(
            console=self._console, get_renderable=self._renderable, refresh_per_second=4
        )

    def __enter__(self) -> "LiveTable":
        """Take over the screen, if there is one."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last state on the screen."""
        self._current = None
        if self._console.is_terminal:
            self._live.stop()

    def cycle_begins(self, cycle: int) -> None:
        """A cycle is run."""
        self._current = (cycle, 0.0)

    def cycle_runs(self, cycle_s: Seconds) -> None:
        """Its clock."""
        if self._current:
            self._current = (self._current[0], cycle_s)

    def cycle_ended(self, record: CycleRecord) -> None:
        """Count it; in a pipe, print it."""
        self._run += self._current is not None
        self._current = None
        self._recent.append(record)
        self._ended += 1
        self._good += record.good
        if not self._console.is_terminal:
            sides = ", ".join(f"{side} {record.outcomes[side]}" for side in SIDES)
            self._console.print(
                f"cycle {record.cycle + 1}/{self._cycles}  {record.cycle_s:.1f} s  {sides}  "
                f"(both {self._good}/{self._ended})",
                highlight=False,
                soft_wrap=True,
            )

    def _renderable(self) -> RenderableType:
        # rich draws in its own thread: what it shows is read once, whole
        recent, current = tuple(self._recent), self._current
        table = Table(title=self._title, title_justify="left", box=None, pad_edge=False)
        for name in ("cycle", "seed", "left", "right"):
            table.add_column(name, justify="left" if name in SIDES else "right")
        table.add_column("time", justify="right")
        table.add_column("stalls", justify="right")
        for record in recent:
            outcomes = [_coloured(record.outcomes[side]) for side in SIDES]
            late = "red" if record.cycle_s > TAKT_S else ""
            table.add_row(
                str(record.cycle + 1),
                str(record.seed),
                *outcomes,
                Text(f"{record.cycle_s:.1f} s", style=late),
                str(record.motion.stalls),
            )
        if current:
            cycle, cycle_s = current
            table.add_row(str(cycle + 1), "", "…", "…", Text(f"{cycle_s:.1f} s", style="dim"), "")
        return Group(table, Text(self._footer(), style="bold"))

    def _footer(self) -> str:
        parts = [f"{self._ended} of {self._cycles} cycles"]
        if self._ended:
            share = 100 * self._good / self._ended
            parts.append(f"both sides installed {self._good}/{self._ended} ({share:.1f} %)")
        if self._run and self._ended < self._cycles:
            each = (time.monotonic() - self._began) / self._run
            left = each * (self._cycles - self._ended)
            parts.append(f"about {left / 60:.0f} min left" if left > 90 else f"{left:.0f} s left")
        return "  ·  ".join(parts)


def _coloured(outcome: str) -> Text:
    return Text(outcome, style="green" if outcome == "installed" else "red")
