"""Long jobs side by side, each in a process of its own that ends with its parent."""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context
from typing import TypeVar

from takt.processes import deaf_to_interrupts, die_with_parent
from takt.types import TaktError

Job = TypeVar("Job")


def run_jobs(
    work: Callable[[Job], str], jobs: Sequence[Job], workers: int, log: Callable[[str], None]
) -> None:
    """Do `jobs`, `workers` at once; what `work` says of each is logged.

    Raises:
        TaktError: a job failed, or its process died.
    """
    spawn = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=die_with_parent) as pool:
        try:
            with deaf_to_interrupts():
                asked = [pool.submit(work, job) for job in jobs]
            for done in as_completed(asked):
                log(done.result())
        except BrokenProcessPool as error:
            raise TaktError(
                "expected a result, but its process died; if nobody killed it, memory ran out: "
                "use fewer --workers; the same command goes on"
            ) from error
        except BaseException:
            for child in active_children():
                child.kill()
            raise
