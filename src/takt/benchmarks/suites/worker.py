"""Plays the trials of a suite in its own environment; `runner.py` starts it.

It ends with its runner, whatever it is doing. What simulators print goes to stderr.
"""

import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import IO

import numpy as np

from takt.benchmarks.player import Expert, Hold
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
from takt.benchmarks.suites.players import Player, Random, Replay, Seat, take_seat
from takt.benchmarks.suites.registry import make_suite
from takt.benchmarks.suites.suite import Played, Scene, Suite, Trial
from takt.runtime.clock import VirtualClock
from takt.runtime.executor import Executor
from takt.runtime.latency import Injected
from takt.runtime.safety import Governor
from takt.runtime.trace import Trace
from takt.types import TaktError

BLIND = (Expert, Hold, Random, Replay)
"""Players that never look."""
PULSE_S = 5.0  # between signs of life


class Stage:
    """The scene of one task, kept for its next trial: building it is what takes long."""

    def __init__(self, suite: Suite, player: Player, step: Callable[[], None]) -> None:
        """Nothing is built; `step` is called before every control step."""
        self._suite, self._player, self._step = suite, player, step
        self._scene: Scene | None = None
        self._task = ""

    def play(self, trial: Trial) -> Played:
        """One trial, from its beginning to its end."""
        began = time.process_time()
        scene = self._scene_of(trial.task)
        scene.blind = isinstance(self._player, BLIND)
        scene.reset(trial)
        seat = take_seat(self._player, scene, trial)
        traces: list[Trace] = []
        try:
            seat.worker.reset(trial.seed)
            while not traces or not scene.finished:
                if traces and not scene.blind:
                    seat.worker.reset(trial.seed)
                traces.append(self._next_stage(scene, seat))
        finally:
            seat.worker.close()
        return Played(
            trial=trial,
            stages=scene.stages,
            steps=sum(len(trace.actions) for trace in traces),
            stalls=sum(int((trace.held & (trace.chunk >= 0)).sum()) for trace in traces),
            cpu_s=time.process_time() - began,
            actions=np.concatenate([trace.actions for trace in traces]).astype(np.float32),
        )

    def _next_stage(self, scene: Scene, seat: Seat) -> Trace:
        """Until one more task of a chain is done: nothing planned for it outlives it, as published.

        No speed limit: the published protocols have none.
        """
        spec, done = scene.spec, scene.stages
        executor = Executor(
            scene,
            seat.worker,
            seat.chunking,
            clock=VirtualClock(spec.dt),
            latency=Injected(seat.delay),
            governor=Governor(spec.action_space, np.full_like(spec.action_space.high, np.inf)),
        )

        def finished() -> bool:
            self._step()
            return scene.finished or scene.stages > done

        return executor.run(finished)

    def _scene_of(self, task: str) -> Scene:
        if self._scene is None or task != self._task:
            if self._scene is not None:
                self._scene.close()
            self._scene, self._task = self._suite.open(task), task
        return self._scene


class Pulse:
    """Tells the runner now and then that a trial goes on."""

    def __init__(self, out: IO[bytes]) -> None:
        """Silent at first."""
        self._out, self._told = out, time.monotonic()

    def beat(self) -> None:
        """Tell it, if it has not been told for a while."""
        if time.monotonic() - self._told >= PULSE_S:
            send(self._out, Working())
            self._told = time.monotonic()


def serve(messages: "queue.Queue[Message]", out: IO[bytes]) -> None:
    """Answer one message after the other; returns after a failure that a fresh process may mend."""
    hired = messages.get()
    assert isinstance(hired, Hired)
    try:
        suite = make_suite(hired.suite, hired.options)
        send(out, Ready(versions=dict(suite.versions())))
        stage = Stage(suite, hired.player, Pulse(out).beat)
        while True:
            trial = messages.get()
            assert isinstance(trial, Trial)
            send(out, stage.play(trial))
    except TaktError as error:
        send(out, Refused(str(error)))
    except Exception as error:  # simulators raise whatever they like
        traceback.print_exc()
        send(out, Crashed(f"{type(error).__name__}: {error}"))


def _listen(runner: IO[bytes], messages: "queue.Queue[Message]") -> None:
    """Hand on what the runner says; end with it."""
    try:
        while True:
            messages.put(receive(runner))
    finally:
        os._exit(1)


def main() -> None:
    """Keep both pipes for ourselves: a simulator may print, and ask questions nobody answers."""
    runner, out = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    messages: queue.Queue[Message] = queue.Queue()
    threading.Thread(target=_listen, args=(runner, messages), daemon=True).start()
    serve(messages, out)
    sys.stderr.flush()
    os._exit(0)  # some renderers fail in their own clean-up


if __name__ == "__main__":
    main()
