"""Round trip of the real openpi client: takt's server beside openpi's published server loop.

Both sides are asked for the same plan with three 224 x 224 images by the unmodified `openpi-client`
from PyPI, in an environment of its own (it wants NumPy 1):

    python -m venv ENV && ENV/bin/pip install openpi-client==0.1.2 typing_extensions
    python bench/transport_openpi.py --client-python ENV/bin/python

They take turns, each time with a fresh server and client, all at real-time priority where it is
granted: first pinned to one core, then wherever the scheduler puts them. `blind` is a server that
does not even look at what it gets: `openpi_to_blind_p50` is the most that any server could reach.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import command
from echo import AXES
from openpi_sides import CAMERAS

from takt.runtime.real_time import PRIORITY
from takt.types import TaktError

CLAIM = 1.0
HERE = Path(__file__).parent
SIDES = ("openpi", "takt", "blind")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Measure all sides in one run."""

    client_python: Path
    """Interpreter of the environment that holds openpi-client."""
    pixels: int = 224
    """Height and width of the three images."""
    calls: int = 400
    """Round trips per round and side."""
    warm_up: int = 50
    """Round trips before those."""
    rounds: int = 5
    """Rounds; the sides take turns at beginning."""
    json: bool = False
    """Print one JSON object as the last line."""


@dataclass(frozen=True, slots=True)
class Times:
    """Percentiles of one round in microseconds."""

    p50: float
    p99: float


def main(config: Config) -> int:
    """Print times and ratios; 1 when priority was granted and the claim is missed."""
    command.require_at_least(1, calls=config.calls, rounds=config.rounds, pixels=config.pixels)
    if not config.client_python.exists():
        raise TaktError(f"expected an interpreter, found none at {config.client_python}")
    cores = frozenset(os.sched_getaffinity(0))
    one = compare(config, frozenset({max(cores)}))
    free = compare(config, cores)
    print(json.dumps(one | {"rt_priority": granted(), "free": free}))
    slower = min(one["openpi_to_ws_p50"], free["openpi_to_ws_p50"])
    return int(granted() and slower < CLAIM)


def compare(config: Config, cores: frozenset[int]) -> dict[str, float]:
    """Ratios (median over the rounds) and times in microseconds on `cores`."""
    times: dict[str, list[Times]] = {side: [] for side in SIDES}
    for turn in range(config.rounds):
        for side in SIDES[:: 1 if turn % 2 == 0 else -1]:
            times[side].append(timed(side, config, cores))
    found = {
        "openpi_to_ws_p50": ratio(times["openpi"], times["takt"], "p50"),
        "openpi_to_ws_p99": ratio(times["openpi"], times["takt"], "p99"),
        "openpi_to_blind_p50": ratio(times["openpi"], times["blind"], "p50"),
    }
    for side, rounds in times.items():
        for percentile in ("p50", "p99"):
            median = statistics.median(getattr(each, percentile) for each in rounds)
            found[f"{side}_{percentile}_us"] = median
    return found


def ratio(slower: list[Times], faster: list[Times], percentile: str) -> float:
    """Median over the rounds of slower / faster."""
    pairs = zip(slower, faster, strict=True)
    return statistics.median(getattr(a, percentile) / getattr(b, percentile) for a, b in pairs)


def timed(side: str, config: Config, cores: frozenset[int]) -> Times:
    """One round of a side, on `cores`."""
    numbers = (config.calls, config.warm_up, ",".join(CAMERAS), config.pixels, AXES)
    caller = [str(config.client_python), str(HERE / "openpi_caller.py")]
    with serving(side, cores) as port:
        client = subprocess.run(
            [*caller, str(port), *map(str, numbers)],
            preexec_fn=lambda: hurry(cores),
            env={"PATH": os.environ["PATH"]},  # our packages are not its own
            capture_output=True,
            text=True,
            check=False,
        )
    if client.returncode:
        raise TaktError(f"openpi's client failed at {side}: {client.stderr[-2000:]}")
    found = json.loads(client.stdout.splitlines()[-1])
    return Times(found["p50_us"], found["p99_us"])


@contextmanager
def serving(side: str, cores: frozenset[int]) -> Iterator[int]:
    """The port of a fresh server."""
    server = subprocess.Popen(
        [sys.executable, str(HERE / "openpi_sides.py"), side],
        preexec_fn=lambda: hurry(cores),
        stdout=subprocess.PIPE,
    )
    assert server.stdout is not None
    try:
        yield int(server.stdout.readline())
    finally:
        server.kill()
        server.communicate()


def hurry(cores: frozenset[int]) -> None:
    """In a child before it starts: pinned, and at real-time priority with all its threads."""
    os.sched_setaffinity(0, cores)
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))


def granted() -> bool:
    """Whether `hurry` gets its priority."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except PermissionError:
        return False
    os.sched_setscheduler(0, *before)
    return True


if __name__ == "__main__":
    sys.exit(command.run(main, Config))
