"""An hour of 30 Hz ticks, with everything breaking: python bench/soak.py.

The real robot, executor, recorder, policy process, server and client run on the wall clock at a
faster beat. Policies are killed, a camera is unplugged, the server is killed and started again.
Nothing may crash, memory may not grow, every stop must say why, and every episode must be in the
dataset.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from command import require_at_least, run
from soak_body import HORIZON, SoakDriver, serve

from takt.datasets.lerobot import LeRobotDataset
from takt.runtime.chunking import NaiveAsynchronous
from takt.runtime.client import RemotePolicy
from takt.runtime.clock import WallClock
from takt.runtime.executor import Executor
from takt.runtime.inference import PolicyWorker
from takt.runtime.latency import Measured
from takt.runtime.policy_process import PolicyProcess
from takt.runtime.real_time import real_time
from takt.runtime.recorder import Recorder
from takt.runtime.robot import Robot
from takt.runtime.safety import Governor, step_limits
from takt.runtime.synchroniser import Patience
from takt.types import TaktError

Fault = Literal["policy killed", "camera dropped", "server restarted"]
EPISODE_TICKS = 900
WARM_EPISODES = 10  # allocators and caches have settled by then
GROWTH_MB = 64.0
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is run."""

    ticks: int = 108_000
    """Executed ticks at least: an hour at 30 Hz."""
    faults: int = 20
    """Of each kind."""
    rate_hz: float = 300.0
    """Ticks a second."""
    seed: int = 0
    """Of when what breaks."""
    json: bool = False
    """Print one JSON object as the last line."""


class Line:
    """Robot, local and remote policy, server and recorder, and a hand that breaks them."""

    def __init__(self, options: Options, root: Path) -> None:
        self.rate_hz = options.rate_hz
        self.driver = SoakDriver(options.rate_hz)
        self.robot = Robot(self.driver, patience=Patience(joints_s=1.0, cameras_s=0.3))
        self.recorder = Recorder(root, self.driver.spec)
        self.server, self.port = self._serve(0)
        self.remote = RemotePolicy(f"ws://127.0.0.1:{self.port}")
        self.local = self._think()
        self.restart: threading.Thread | None = None
        self.robot.connect()

    def close(self) -> None:
        """All of it."""
        self.robot.close()
        self.local.close()
        self.remote.close()
        self.server.kill()
        self.server.wait()
        self.recorder.close()

    def break_it(self, fault: Fault) -> None:
        """Called in the middle of an episode, by the loop's own thread."""
        match fault:
            case "policy killed":
                os.kill(self.local.pid, signal.SIGKILL)
            case "camera dropped":
                self.driver.eye.plugged.clear()
            case "server restarted":
                self.server.kill()
                self.server.wait()
                self.restart = threading.Thread(target=self._restart, daemon=True)
                self.restart.start()

    def mend(self, fault: Fault) -> None:
        """After the episode."""
        match fault:
            case "policy killed":
                self.local.close()
                self.local = self._think()
            case "camera dropped":
                self.driver.eye.plugged.set()
                self.robot.close()
                self.robot.connect()
            case "server restarted":
                if self.restart is not None:
                    self.restart.join()

    def _restart(self) -> None:
        self.server, _ = self._serve(self.port)

    def _serve(self, port: int) -> tuple[subprocess.Popen[bytes], int]:
        command = [sys.executable, __file__, "serve", "--rate-hz", str(self.rate_hz)]
        child = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        return child, int(child.stdout.readline())

    def _think(self) -> PolicyProcess:
        return PolicyProcess("soak_body:make_wave", {"rate_hz": self.rate_hz})


@dataclass(slots=True, kw_only=True)
class Tally:
    """What happened."""

    faults: Counter[str]
    stops: Counter[str]
    episodes: int = 0
    ticks: int = 0
    waiting: int = 0
    unexplained: int = 0
    not_stopped: int = 0
    harmless: int = 0
    unprovoked: int = 0
    warm_mb: float = 0.0
    warm_threads: int = 0

    def match(self, fault: Fault | None, *, stopped: bool) -> None:
        """Whether the fault of an episode showed, and its stop had one."""
        self.harmless += not stopped and fault in ("policy killed", "camera dropped")
        self.unprovoked += stopped and fault is None


def main(options: Options) -> int:
    """Soak, count, judge."""
    require_at_least(1, ticks=options.ticks, faults=options.faults)
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    tally = Tally(faults=Counter(), stops=Counter())
    try:
        line = Line(options, folder / "data")
        try:
            with real_time():  # as `takt run` does: nothing is collected meanwhile
                _soak(options, line, tally)
            grown_mb, threads = _memory_mb() - tally.warm_mb, threading.active_count()
        finally:
            line.close()
        found = _judge(tally, LeRobotDataset.open(folder / "data"), grown_mb, threads)
    finally:
        shutil.rmtree(folder)
    for name, value in found.items():
        print(f"{name}: {value}", file=sys.stderr)
    if options.json:
        print(json.dumps(found))
    return 0 if found["passed"] else 1


def _soak(options: Options, line: Line, tally: Tally) -> None:
    rng = np.random.default_rng(options.seed)
    plan: list[Fault] = ["policy killed", "camera dropped", "server restarted"] * options.faults
    while plan or tally.ticks < options.ticks:
        # whole episodes are spread evenly between the broken ones
        due = plan and tally.ticks >= options.ticks * (1 - len(plan) / (3 * options.faults))
        fault = plan.pop(0) if due else None
        at = int(rng.integers(100, 300)) if fault else -1
        _episode(line, fault, at, tally)
        if tally.episodes == WARM_EPISODES:
            tally.warm_mb, tally.warm_threads = _memory_mb(), threading.active_count()
        if tally.episodes % 10 == 0:
            print(f"  {tally.ticks}/{options.ticks} ticks, {dict(tally.stops)}", file=sys.stderr)


def _episode(line: Line, fault: Fault | None, at: int, tally: Tally) -> None:
    far = fault == "server restarted" or (fault is None and tally.episodes % 4 == 0)
    worker: PolicyWorker = line.remote if far else line.local
    spec = line.driver.spec
    stops, ticks, why = line.driver.stops, 0, "ended as asked"

    def finished() -> bool:
        nonlocal ticks
        if ticks == at and fault is not None:
            line.break_it(fault)
        ticks += 1
        return ticks > EPISODE_TICKS

    worker.reset(tally.episodes)
    executor = Executor(
        line.robot,
        worker,
        NaiveAsynchronous(HORIZON // 4),
        clock=WallClock(spec.dt),
        latency=Measured(),
        governor=Governor(spec.action_space, step_limits(spec)),
        listeners=[line.recorder],
    )
    line.recorder.begin()
    try:
        executor.run(finished)
    except TaktError as error:
        why = f"{type(error).__name__}: {error}"
        tally.stops[type(error).__name__] += 1
        tally.unexplained += not str(error)
    line.recorder.end(None)
    trace = executor.trace()
    tally.match(fault, stopped=why != "ended as asked")
    tally.episodes += 1
    tally.ticks += len(trace.actions)
    tally.waiting += int(trace.waiting.sum())
    tally.not_stopped += line.driver.stops == stops
    if fault is not None:
        tally.faults[fault] += 1
        line.mend(fault)


def _judge(
    tally: Tally, dataset: LeRobotDataset, grown_mb: float, threads: int
) -> dict[str, object]:
    rows = sum(record.length for record in dataset.metadata.episodes)
    found: dict[str, object] = {
        "ticks": tally.ticks,
        "episodes": tally.episodes,
        "recorded_episodes": len(dataset),
        "recorded_ticks": rows,
        "faults": dict(tally.faults),
        "stops": dict(tally.stops),
        "unexplained_stops": tally.unexplained,
        "episodes_without_stop": tally.not_stopped,
        "faults_without_effect": tally.harmless,
        "stops_without_fault": tally.unprovoked,
        "held_waiting_ticks": tally.waiting,
        "memory_growth_mb": round(grown_mb, 1),
        "more_threads": threads - tally.warm_threads,
    }
    kept = len(dataset) == tally.episodes and rows == tally.ticks
    quiet = grown_mb <= GROWTH_MB and threads <= tally.warm_threads
    explained = not (tally.unexplained or tally.not_stopped or tally.harmless or tally.unprovoked)
    return {**found, "passed": kept and quiet and explained}


def _memory_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_MB


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(float(sys.argv[3]), int(sys.argv[5]))
    sys.exit(run(main, Options))
