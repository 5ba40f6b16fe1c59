"""Round trip of images to another process and actions back: shared memory beside a websocket.

All sides carry three 224 x 224 images and a state there, and 30 x 14 float32 back, from an echo
server in a process of its own. They take turns, each time with a fresh server, client and server at
real-time priority where it is granted: first both pinned to one core, then (`free`) wherever the
scheduler puts them, where waking the other core costs each side the same. `policy_process` is the
whole of takt's `PolicyProcess` on the same channel: observations in, plans out.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import command
import numpy as np
from transport_sides import Arrays, Process, SharedMemory, Side, Websocket, make_request

from takt.runtime.real_time import Granted, real_time

CLAIMS = {"ws_to_shm_p50": 20.0, "ws_to_shm_p99": 10.0}
Make = Callable[[Arrays], Side]
SIDES: dict[str, Make] = {
    "websocket": Websocket,
    "shared_memory": SharedMemory,
    "policy_process": Process,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Measure all sides in one run."""

    cameras: int = 3
    """Images of a request."""
    pixels: int = 224
    """Height and width."""
    calls: int = 2000
    """Round trips per round and side."""
    warm_up: int = 200
    """Round trips before those."""
    rounds: int = 5
    """Rounds; the sides take turns at beginning."""
    quick: bool = False
    """A quarter of the calls."""
    json: bool = False
    """Print one JSON object as the last line."""


@dataclass(frozen=True, slots=True)
class Times:
    """Percentiles of one round in microseconds."""

    p50: float
    p99: float


def timed(make: Make, config: Config, cores: frozenset[int]) -> tuple[Times, Granted]:
    """One round of a side, on `cores`, and the priority that its client got."""
    request = make_request(config.cameras, config.pixels)
    calls = config.calls // 4 if config.quick else config.calls
    seconds = np.zeros(calls)
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)  # the server inherits it
    try:
        with closing(make(request)) as side:
            assert np.array_equal(side.round_trip()[0], request["state"])
            with real_time(cores=cores) as granted:
                for _ in range(config.warm_up):
                    side.round_trip()
                for call in range(calls):
                    began = time.perf_counter()
                    side.round_trip()
                    seconds[call] = time.perf_counter() - began
    finally:
        os.sched_setaffinity(0, allowed)
    p50, p99 = 1e6 * np.percentile(seconds, [50, 99])
    return Times(p50, p99), granted


def rounds(
    sides: Mapping[str, Make], config: Config, cores: frozenset[int]
) -> tuple[dict[str, list[Times]], Granted]:
    """All rounds by side."""
    times: dict[str, list[Times]] = {name: [] for name in sides}
    granted = None
    for turn in range(config.rounds):
        for name in list(sides)[:: 1 if turn % 2 == 0 else -1]:
            found, granted = timed(sides[name], config, cores)
            times[name].append(found)
    assert granted is not None
    return times, granted


def ratios(slower: list[Times], faster: list[Times], name: str) -> dict[str, float]:
    """Median over the rounds of slower / faster, as `name`_p50 and `name`_p99."""
    pairs = list(zip(slower, faster, strict=True))
    return {
        f"{name}_p50": statistics.median(a.p50 / b.p50 for a, b in pairs),
        f"{name}_p99": statistics.median(a.p99 / b.p99 for a, b in pairs),
    }


def compare(config: Config, cores: frozenset[int]) -> dict[str, Any]:
    """Ratios, and medians of the rounds in microseconds, on `cores`."""
    times, granted = rounds(SIDES, config, cores)
    websocket = times["websocket"]
    return {
        **ratios(websocket, times["shared_memory"], "ws_to_shm"),
        **ratios(websocket, times["policy_process"], "ws_to_policy_process"),
        "rt_priority": granted.scheduling,
        "cores": sorted(cores),
        "times_us": {
            name: {
                "p50": statistics.median(each.p50 for each in found),
                "p99": statistics.median(each.p99 for each in found),
            }
            for name, found in times.items()
        },
    }


def report(found: Mapping[str, Any]) -> None:
    """A few lines for a person."""
    print(f"cores {found['cores']}, priority: {found['rt_priority']}")
    for name, times in found["times_us"].items():
        print(f"  {name:<15} p50 {times['p50']:7.1f}   p99 {times['p99']:7.1f} us")
    for key in ("ws_to_shm_p50", "ws_to_shm_p99", "ws_to_policy_process_p50"):
        print(f"  {key:<25} {found[key]:6.1f}")


def main(config: Config) -> int:
    """Print times and ratios; 1 when priority was granted and a claim is missed on one core."""
    command.require_at_least(1, cameras=config.cameras, pixels=config.pixels, rounds=config.rounds)
    command.require_at_least(4, calls=config.calls)
    allowed = frozenset(os.sched_getaffinity(0))
    found = compare(config, frozenset({max(allowed)}))
    free = compare(config, allowed)
    report(found)
    report(free)
    if config.json:
        print(json.dumps(found | {"free": free}))
    kept = all(found[key] >= least for key, least in CLAIMS.items())
    return int(found["rt_priority"] == "fifo" and not kept)


if __name__ == "__main__":
    sys.exit(command.run(main, Config))
