"""How late a 100 Hz tick begins beside CPU hogs: takt's clock and priority, and a plain sleep loop.

Takt: `WallClock` under `real_time`, lateness against the absolute deadline. Plain: what openpi's
runtime does, sleeping the rest of the period since the last tick, lateness against that very aim
(its drift is not held against it there). Both take turns beside the same hogs, which run at normal
priority, as the plain loop does. Drift is measured over 10,000 ticks at 1 kHz: in ticks that is ten
times as strict as at 100 Hz. `machine_paused` is how many of the missed ticks fell into a moment in
which witnesses on other cores stood still, too (`jitter_witness.py`).
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import command
import numpy as np
from jitter_witness import Interval, watched

from takt.runtime.clock import WallClock
from takt.runtime.real_time import Granted, real_time

CLAIM = 20.0
HOG = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Measure both loops in one run."""

    rate_hz: float = 100.0
    """Ticks per second."""
    ticks: int = 600
    """Ticks per round and loop."""
    rounds: int = 5
    """Rounds; the loops take turns at beginning."""
    hogs: int = 2
    """Processes that compute without end."""
    drift_ticks: int = 10_000
    """Ticks over which the drift is measured."""
    drift_rate_hz: float = 1000.0
    """Ticks per second of that measurement."""
    quick: bool = False
    """Three rounds of a third of the ticks, the whole drift: under a minute."""
    json: bool = False
    """Print one JSON object as the last line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """One run of a loop: lateness of each tick (tick,) seconds, and how far its phase went.

    `long` are the waits, monotonic seconds, that ended a whole period late.
    """

    lateness_s: np.ndarray
    drift_ticks: float
    missed: int
    long: tuple[Interval, ...] = ()


def takt_loop(rate_hz: float, ticks: int) -> tuple[Beat, Granted]:
    """Takt's clock, and the priority that was granted."""
    lateness, ended, dt = np.zeros(ticks), np.zeros(ticks), 1 / rate_hz
    with real_time() as granted:
        began = time.monotonic()
        clock = WallClock(dt)
        for tick in range(ticks):
            clock.tick()
            lateness[tick], ended[tick] = clock.lateness, time.monotonic()
    drift = (ended[-1] - began) * rate_hz - (ticks + clock.missed)
    long = ((end - late, end) for late, end in zip(lateness, ended, strict=True) if late >= dt)
    beat = Beat(lateness_s=lateness, drift_ticks=drift, missed=clock.missed, long=tuple(long))
    return beat, granted


def plain_loop(rate_hz: float, ticks: int) -> Beat:
    """Sleeps what is left of a period since the last tick."""
    lateness, period = np.zeros(ticks), 1 / rate_hz
    began = last = time.monotonic()
    for tick in range(ticks):
        aim = last + period
        now = time.monotonic()
        if now < aim:
            time.sleep(aim - now)
        last = time.monotonic()
        lateness[tick] = last - aim
    drift = (last - began) * rate_hz - ticks
    return Beat(lateness_s=lateness, drift_ticks=drift, missed=int((lateness > period).sum()))


@contextmanager
def hogging(count: int) -> Iterator[None]:
    """Processes of normal priority that never sleep, for the length of the block."""
    hogs = [subprocess.Popen([sys.executable, "-c", HOG]) for _ in range(count)]
    try:
        time.sleep(0.5)
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def summary(beats: list[Beat]) -> dict[str, float]:
    """Lateness of all rounds in milliseconds."""
    late = 1e3 * np.concatenate([beat.lateness_s for beat in beats])
    p50, p99 = np.percentile(late, [50, 99])
    return {"p50_ms": p50, "p99_ms": p99, "max_ms": late.max()}


def watched_loop(config: Config, ticks: int) -> tuple[Beat, int]:
    """Takt's loop, and how many of its missed ticks fell into a pause of the machine.

    The plain loop has no witnesses beside it: they cut the hogs short, which helps it.
    """
    with watched() as pauses:
        beat, _ = takt_loop(config.rate_hz, ticks)
    paused = (end - due for due, end in beat.long if pauses.hit((due, end)))
    return beat, sum(int(length_s * config.rate_hz) for length_s in paused)


def measure(config: Config) -> dict[str, Any]:
    """All figures."""
    rounds = min(3, config.rounds) if config.quick else config.rounds
    ticks = config.ticks // 3 if config.quick else config.ticks
    ours: list[Beat] = []
    plain: list[Beat] = []
    machine_paused = 0
    with hogging(config.hogs):
        for turn in range(rounds):
            for side in ("takt", "plain")[:: 1 if turn % 2 == 0 else -1]:
                if side == "takt":
                    beat, paused = watched_loop(config, ticks)
                    ours.append(beat)
                    machine_paused += paused
                else:
                    plain.append(plain_loop(config.rate_hz, ticks))
        long, granted = takt_loop(config.drift_rate_hz, config.drift_ticks)
    ratios = [
        float(np.percentile(a.lateness_s, 99) / np.percentile(b.lateness_s, 99))
        for a, b in zip(plain, ours, strict=True)
    ]
    return {
        "lateness_p99_ratio": statistics.median(ratios),
        "ratios": ratios,
        "missed": sum(beat.missed for beat in ours),
        "machine_paused": machine_paused,
        "drift_ticks": long.drift_ticks,
        "rt_priority": granted.scheduling,
        "takt": summary(ours),
        "plain": summary(plain) | _plain_beat(plain, ticks),
        "drift": {
            "ticks": config.drift_ticks,
            "rate_hz": config.drift_rate_hz,
            "missed": long.missed,
        },
    }


def _plain_beat(plain: list[Beat], ticks: int) -> dict[str, float]:
    """What the plain loop missed, and how far it would drift in 10,000 ticks of its own rate."""
    drift = statistics.median(beat.drift_ticks for beat in plain)
    return {"missed": sum(beat.missed for beat in plain), "drift_ticks": drift * 10_000 / ticks}


def report(config: Config, found: dict[str, Any]) -> None:
    """A few lines for a person."""
    print(f"{config.rate_hz:.0f} Hz beside {config.hogs} hogs, priority: {found['rt_priority']}")
    for side in ("takt", "plain"):
        numbers = (found[side][key] for key in ("p50_ms", "p99_ms", "max_ms"))
        print(f"  {side:<6} lateness p50 / p99 / max {' / '.join(f'{n:.3f}' for n in numbers)} ms")
    print(
        f"  p99, plain over takt: {found['lateness_p99_ratio']:.1f}; missed: {found['missed']}"
        f" ({found['machine_paused']} as the whole machine stood still)"
    )
    print(f"  drift over {config.drift_ticks} ticks: {found['drift_ticks']:.3f} ticks")


def main(config: Config) -> int:
    """Print the lateness of both loops; 1 when priority was granted and the claim is missed."""
    command.require_at_least(3, ticks=config.ticks, drift_ticks=config.drift_ticks)
    command.require_at_least(1, rounds=config.rounds)
    found = measure(config)
    report(config, found)
    if config.json:
        print(json.dumps(found))
    kept = found["lateness_p99_ratio"] >= CLAIM and found["missed"] == found["machine_paused"]
    return int(found["rt_priority"] == "fifo" and not kept)


if __name__ == "__main__":
    sys.exit(command.run(main, Config))
