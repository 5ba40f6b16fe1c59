"""Attempts at the nut station in seed order, made by several processes."""

import itertools
from collections.abc import Callable, Generator
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from takt.processes import deaf_to_interrupts, die_with_parent
from takt.simulation.nut_station.station import NutStation
from takt.types import Episode, TaktError

Attempt = Callable[[NutStation, int], Episode | None]
"""One seed's episode, or None where it teaches nothing; a module-level function or a partial."""

AHEAD = 2  # seeds that a worker has: the one it tries and the next, so that it never waits for one


class WorkerDiedError(TaktError):
    """A process that makes attempts ended without being told to."""


def attempts(
    attempt: Attempt, first_seed: int, workers: int
) -> Generator[tuple[int, Episode | None], None, None]:
    """Yield (seed, episode) for `first_seed`, `first_seed` + 1, … without end.

    The order and content do not depend on `workers`. Closing it ends the attempts that run at
    once, so Ctrl-C waits for none.

    Raises:
        TaktError: what an attempt raised.
        WorkerDiedError: a worker ended in any other way.
    """
    seeds, done = itertools.count(first_seed), dict[int, Episode | None]()
    crew: dict[Connection, SpawnProcess] = {}
    try:
        for _ in range(workers):
            link, process = _hire(attempt)
            crew[link] = process
            for _ in range(AHEAD):
                link.send(next(seeds))
        for seed in itertools.count(first_seed):
            while seed not in done:
                ready = wait(list(crew))
                for link in crew:
                    if link in ready:
                        tried, episode = _exchange(link, next(seeds))
                        done[tried] = episode
            yield seed, done.pop(seed)
    finally:
        for process in crew.values():
            process.kill()
            process.join()


def _hire(attempt: Attempt) -> tuple[Connection, SpawnProcess]:
    spawn = get_context("spawn")  # a forked OpenGL context is broken
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_work, args=(theirs, attempt), daemon=True)
    with deaf_to_interrupts():
        process.start()
    theirs.close()
    return ours, process


def _exchange(link: Connection, seed: int) -> tuple[int, Episode | None]:
    """Take a worker's result and give it `seed` to try after what it has."""
    try:
        result = link.recv()
        if not isinstance(result, TaktError):  # who raised it has ended
            link.send(seed)
    except (EOFError, OSError) as error:
        raise WorkerDiedError(
            "expected an attempt's result, but the process that made it died; what it printed "
            "is above; if it printed nothing, it ran out of memory: use fewer workers"
        ) from error
    if isinstance(result, TaktError):
        raise result
    return result


def _work(link: Connection, attempt: Attempt) -> None:
    die_with_parent()
    try:
        station = NutStation()
        while True:
            seed = link.recv()
            link.send((seed, attempt(station, seed)))
    except TaktError as error:
        link.send(TaktError(str(error)))  # not every error's own class survives the way
