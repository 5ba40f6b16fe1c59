"""Plays a suite's trials in several simulator processes; what is played is kept at once."""

import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby
from math import ceil
from typing import IO

from takt.benchmarks.suites.pipe import (
    Crashed,
    Hired,
    Message,
    Ready,
    Refused,
    Working,
    receive,
    send,
)
from takt.benchmarks.suites.players import Player
from takt.benchmarks.suites.registry import options_of
from takt.benchmarks.suites.store import RunStore
from takt.benchmarks.suites.suite import Played, Suite, SuiteError, Trial
from takt.runtime.closing import Closing
from takt.runtime.wire import WireError

ATTEMPTS = 2
SILENCE_S = 1800.0  # a simulator that takes no step for so long hangs, which is a crash
END_S = 5.0  # from the end of its messages to that of the process

Told = Callable[[Played], None]


class Simulator(Closing):
    """One process of the suite's environment."""

    def __init__(self, run: "Run") -> None:
        """Start it; `begin` waits for it."""
        self._hired, self._hung = run.hired, False
        self._process = subprocess.Popen(
            run.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )

    def begin(self) -> Mapping[str, str]:
        """Installed versions of what determines the result, once the suite's package is imported.

        Raises:
            SuiteError: the suite or its assets are not there.
        """
        found = self._ask(self._hired)
        if isinstance(found, Refused):
            raise SuiteError(found.text)
        if isinstance(found, Crashed):
            raise SuiteError(
                f"expected the simulator of {self._hired.suite} to start, got: {found.text}; what "
                "it printed above says why: mend that and run the same command again"
            )
        assert isinstance(found, Ready)
        return found.versions

    def play(self, trial: Trial) -> Played | Crashed:
        """One trial.

        Raises:
            SuiteError: it cannot be played before a user has mended something.
        """
        found = self._ask(trial)
        if isinstance(found, Refused):
            raise SuiteError(found.text)
        assert isinstance(found, Played | Crashed)
        return found

    def close(self) -> None:
        """End it. Idempotent."""
        self._process.kill()
        self._process.wait()

    def _ask(self, message: Message) -> Message:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            send(self._process.stdin, message)
            while isinstance(found := self._hear(self._process.stdout), Working):
                pass
        except (EOFError, BrokenPipeError, WireError):
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(END_S)
            self.close()
            if self._hung:
                return Crashed(f"the simulator took no step for {SILENCE_S:g} s")
            return Crashed(f"the simulator's process died (status {self._process.returncode})")
        return found

    def _hear(self, out: IO[bytes]) -> Message:
        alarm = threading.Timer(SILENCE_S, self._give_up)
        alarm.daemon = True  # or it would keep an interrupted runner from ending
        alarm.start()
        try:
            return receive(out)
        finally:
            alarm.cancel()

    def _give_up(self) -> None:
        self._hung = True
        self._process.kill()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is played, by whom; `command` starts a simulator's process (`worker.py`)."""

    suite: Suite
    player: Player
    command: Sequence[str]
    workers: int

    @property
    def hired(self) -> Hired:
        """What every simulator is told first."""
        return Hired(suite=self.suite.name, options=options_of(self.suite), player=self.player)


def probe(run: Run) -> Mapping[str, str]:
    """Installed versions of what determines the result.

    Raises:
        SuiteError: see `Simulator`.
    """
    with Simulator(run) as simulator:
        return simulator.begin()


def play(run: Run, store: RunStore, told: Told) -> list[Played]:
    """Every trial of the suite, those found in `store` included, in the suite's order.

    `told` is called for each trial, those on disk first.

    Raises:
        SuiteError: see `Simulator`; what is done is kept.
    """
    trials = run.suite.trials()
    found = {trial: played for trial in trials if (played := store.load(trial)) is not None}
    for played in found.values():
        told(played)
    crew = _Crew(run, store, [trial for trial in trials if trial not in found], told)
    crew.work()
    return [found.get(trial) or crew.found[trial] for trial in trials]


class _Crew:
    """Threads, each with a simulator of its own."""

    def __init__(self, run: Run, store: RunStore, trials: Sequence[Trial], told: Told) -> None:
        self._run, self._store, self._told = run, store, told
        self._left = _by_task(trials, run.workers)
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self._simulators: set[Simulator] = set()
        self.found: dict[Trial, Played] = {}

    def work(self) -> None:
        count = min(self._run.workers, len(self._left))
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.2)
        except BaseException as error:
            self._stop(error)
            raise
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        try:
            while (batch := self._next()) is not None:
                self._play(batch)
        except BaseException as error:
            self._stop(error)

    def _next(self) -> list[Trial] | None:
        with self._lock:
            return self._left.pop(0) if self._left and self._failure is None else None

    def _play(self, batch: Iterable[Trial]) -> None:
        """A fresh process for every batch: what simulators leak stays small."""
        simulator = None
        for trial in batch:
            found, attempt = None, 0
            while not isinstance(found, Played) and attempt < ATTEMPTS:
                simulator, attempt = simulator or self._start(), attempt + 1
                found = simulator.play(trial)
                if isinstance(found, Crashed):
                    simulator = self._end(simulator)
            assert found is not None
            self._keep(_settled(trial, found, attempt))
        if simulator is not None:
            self._end(simulator)

    def _keep(self, played: Played) -> None:
        with self._lock:
            if self._failure is not None:
                raise self._failure
            self._store.save(played)
            self.found[played.trial] = played
            self._told(played)

    def _start(self) -> Simulator:
        """A simulator that is ready; `_stop` knows of it from its first moment."""
        with self._lock:
            if self._failure is not None:
                raise self._failure
            simulator = Simulator(self._run)
            self._simulators.add(simulator)
        simulator.begin()
        return simulator

    def _end(self, simulator: Simulator) -> None:
        with self._lock:
            self._simulators.discard(simulator)
        simulator.close()

    def _stop(self, error: BaseException) -> None:
        with self._lock:
            self._failure = self._failure or error
            simulators = list(self._simulators)
        for simulator in simulators:
            simulator.close()


def _settled(trial: Trial, found: Played | Crashed, attempts: int) -> Played:
    if isinstance(found, Played):
        return replace(found, attempts=attempts)
    return Played(
        trial=trial, stages=0, steps=0, stalls=0, cpu_s=0.0, attempts=attempts, error=found.text
    )


def _by_task(trials: Sequence[Trial], workers: int) -> list[list[Trial]]:
    """Batches of one task each, so that few scenes are built, but enough for all workers."""
    tasks = [list(group) for _, group in groupby(trials, key=lambda trial: trial.task)]
    parts = ceil(workers / len(tasks)) if tasks else 1
    batches = []
    for task in tasks:
        size = ceil(len(task) / parts)
        batches += [task[at : at + size] for at in range(0, len(task), size)]
    return batches
