"""What guards a run on the wall clock: a watchdog on its body, real-time priority for its loop."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from takt.runtime.real_time import PRIORITY, Scheduling, real_time
from takt.runtime.watchdog import DEFAULT_S, Watchdog
from takt.types import Embodiment, Seconds, TaktError


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervision:
    """How a run is guarded; `priority` 0: like any other thread."""

    watchdog_s: Seconds = DEFAULT_S
    priority: int = PRIORITY

    def __post_init__(self) -> None:
        """Refuse what the system does not have."""
        if not 0 <= self.priority <= 99:
            raise TaktError(f"--priority: expected 1 to 99, or 0 for none, got {self.priority}")

    @contextmanager
    def of(self, body: Embodiment) -> Iterator[tuple[Embodiment, Scheduling]]:
        """Inside, drive the body that is handed out; and what priority this thread was granted.

        Raises:
            TaktError: the watchdog would bite within two ticks.
        """
        with ExitStack() as stack:
            watched = stack.enter_context(Watchdog(body, self.watchdog_s))
            if not self.priority:
                yield watched, "none"
            else:
                yield watched, stack.enter_context(real_time(self.priority)).scheduling


STANDARD = Supervision()
