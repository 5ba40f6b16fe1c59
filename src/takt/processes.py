"""Child processes that never outlive the one that started them."""

import multiprocessing
import multiprocessing.connection
import os
import threading


def die_with_parent() -> None:
    """Call first in a child: it ends as soon as its parent has, however that ended."""
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
