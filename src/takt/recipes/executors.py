"""Where independent pieces of work are done: in this process, in several, or on a Ray cluster."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, TypeVar

from takt.extras import require_extra
from takt.processes import deaf_to_interrupts, die_with_parent, require_processes
from takt.types import TaktError

Result = TypeVar("Result")
Worker = Callable[[int], Result]


@dataclass(frozen=True, slots=True)
class InProcess:
    """One piece after the other, here."""


@dataclass(frozen=True, slots=True)
class Processes:
    """On this machine, each process with its own worker."""

    count: int


@dataclass(frozen=True, slots=True)
class Ray:
    """Actors of the Ray cluster that RAY_ADDRESS names, else of one begun here.

    Every machine must see the same files under the same paths.
    """

    actors: int
    gpus: float = 0.0
    """GPUs for each actor."""


Executor = InProcess | Processes | Ray


def execute(
    executor: Executor, begin: Callable[[], Worker[Result]], pieces: Sequence[int]
) -> Iterator[Result]:
    """The results of all `pieces` in the order in which they are done.

    Each process calls `begin`, which can be pickled, once and its worker for each piece. An error
    ends it all; a caller that stops early drops what is not begun, Ctrl-C all that is not done.

    Raises:
        TaktError: a process was killed, too many were asked for, or Ray is not installed.
    """
    match executor:
        case InProcess():
            worker = begin()
            yield from map(worker, pieces)
        case Processes(count=count):
            yield from _in_processes(count, begin, pieces)
        case Ray(actors=actors, gpus=gpus):
            yield from _on_ray(actors, gpus, begin, pieces)


_worker: list[Worker[Any]] = []  # of this process


def _in_processes(
    count: int, begin: Callable[[], Worker[Result]], pieces: Sequence[int]
) -> Iterator[Result]:
    require_processes("--workers", count)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, context, initializer=die_with_parent)
    try:
        with deaf_to_interrupts():
            asked = [pool.submit(_work, begin, piece) for piece in pieces]
        for future in as_completed(asked):
            yield future.result()
    except KeyboardInterrupt:
        for child in multiprocessing.active_children():
            child.kill()
        raise
    except BrokenProcessPool as error:
        raise TaktError(
            "a worker process was killed, perhaps for want of memory; what is done is kept: run "
            "again, with fewer --workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _work(begin: Callable[[], Worker[Result]], piece: int) -> Result:
    try:
        if not _worker:
            _worker.append(begin())
        return _worker[0](piece)
    except TaktError as error:
        # One with arguments of its own would not survive the way back.
        raise TaktError(str(error)) from error


def _on_ray(
    actors: int, gpus: float, begin: Callable[[], Worker[Result]], pieces: Sequence[int]
) -> Iterator[Result]:
    require_extra("ray", "--executor ray")
    import ray  # pyright: ignore[reportMissingImports]
    from ray.util.actor_pool import ActorPool  # pyright: ignore[reportMissingImports]

    if actors < 1:
        raise TaktError(f"expected at least 1, got --workers {actors}; choose more")
    begun_here = not ray.is_initialized()
    if begun_here:
        try:
            ray.init(log_to_driver=False)
        except Exception as error:  # no narrower class: it says what hinders it in words only
            raise TaktError(f"Ray cannot be begun or reached ({error}); run it again") from error
    try:
        remote = ray.remote(num_gpus=gpus, num_cpus=1)(_Actor)
        pool = ActorPool([remote.remote(begin) for _ in range(min(actors, len(pieces)))])
        yield from pool.map_unordered(lambda actor, piece: actor.work.remote(piece), pieces)
    except ray.exceptions.RayTaskError as error:
        # What the worker raised: Ray's own words are a traceback.
        raise (error.cause if isinstance(error.cause, TaktError) else error) from None
    except ray.exceptions.RayError as error:
        raise TaktError(f"Ray gave up ({error}); what is done is kept: run again") from error
    finally:
        if begun_here:
            ray.shutdown()


class _Actor:
    def __init__(self, begin: Callable[[], Worker[Any]]) -> None:
        self._begin = begin

    def work(self, piece: int) -> object:
        return _work(self._begin, piece)
