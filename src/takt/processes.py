"""Child processes: how many, and that they never outlive the one that started them."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from takt.types import TaktError

PER_CORE = 4  # more only wait for each other, and a thousand stop the machine


def require_processes(option: str, count: int) -> None:
    """Raise a `TaktError` unless this machine can run `count` processes, asked for by `option`."""
    cores = os.cpu_count() or 1
    most = PER_CORE * cores
    if not 1 <= count <= most:
        raise TaktError(
            f"expected at least 1 and, on {cores} cores, at most {most}, got {option} {count}; "
            "one a core is fastest"
        )


def die_with_parent() -> None:
    """Call first in a child: it ends as soon as its parent has, however that ended."""
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


@contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """A process started here never hears Ctrl-C, not even while it imports: its parent ends it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
