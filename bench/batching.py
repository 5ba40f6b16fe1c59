"""Several robots in one inference beside one inference each, as a server of XR-0 does either.

Both take turns in one process, on the same observations, committed actions and noise: whole
inferences, from images to actions. `singles_to_batch` is the median over the rounds of the time
that the robots' single inferences take together over that of their batch: how much more often
each robot gets a plan. `max_abs_diff` is the largest difference of any action.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from command import require_at_least, run

from takt.benchmarks.checkpoint import packaged_checkpoint
from takt.benchmarks.shift_config import Device, Precision
from takt.embodiments import embodiment_spec
from takt.policies.xr0.policy import XR0Policy
from takt.types import ActionChunk, EmbodimentSpec, Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Measure a checkpoint."""

    policy: Path = packaged_checkpoint("nano_station")
    """Its folder."""
    body: str = "nut-station"
    """The robots' body."""
    robots: int = 4
    """That ask at once."""
    repeats: int = 40
    """Timed rounds."""
    warm_ups: int = 3
    """Rounds before them."""
    threads: int = 1
    """Of a CPU."""
    device: Device = "cpu"
    """Where the checkpoint runs."""
    dtype: Precision = "float32"
    """Of its weights and arithmetic."""
    json: bool = False
    """Print one JSON object as the last line."""


Question = tuple[Observation, ActionChunk | None]


def questions(robots: int, spec: EmbodimentSpec, max_prefix: int) -> list[Question]:
    """Noise images, and from none to `max_prefix` committed actions."""
    draw, asked = np.random.default_rng(0), []
    for robot in range(robots):
        images = {
            camera.name: draw.integers(0, 256, (camera.height, camera.width, 3), dtype=np.uint8)
            for camera in spec.cameras
        }
        state = draw.normal(0, 0.1, len(spec.state_names)).astype(np.float32)
        committed = draw.normal(0, 0.1, (robot % (max_prefix + 1), len(spec.slots)))
        seen = Observation(
            stamp=0.0,
            images=images,
            image_stamps=dict.fromkeys(images, 0.0),
            state=state,
            instruction=spec.instruction,
        )
        chunk = ActionChunk(stamp=0.0, dt=spec.dt, actions=committed.astype(np.float32))
        asked.append((seen, chunk if len(committed) else None))
    return asked


def timed(work: Callable[[], Sequence[ActionChunk]]) -> tuple[float, np.ndarray]:
    """Seconds, and all actions; they are on the host, so nothing is left to wait for."""
    began = time.perf_counter()
    chunks = work()
    return time.perf_counter() - began, np.stack([chunk.actions for chunk in chunks])


def rounds(
    team: Sequence[XR0Policy], asked: Sequence[Question], config: Config
) -> tuple[np.ndarray, float]:
    """Seconds (round, side) of the single inferences and of the batch; the largest difference."""
    seen, committed = zip(*asked, strict=True)
    sides: list[Callable[[], Sequence[ActionChunk]]] = [
        lambda: [each.infer(*question) for each, question in zip(team, asked, strict=True)],
        lambda: XR0Policy.infer_together(team, seen, committed),
    ]
    times, difference = np.zeros((config.warm_ups + config.repeats, 2)), 0.0
    for turn in range(len(times)):
        found: dict[int, np.ndarray] = {}
        for side in (0, 1) if turn % 2 == 0 else (1, 0):
            for seed, each in enumerate(team):
                each.reset(seed)
            times[turn, side], found[side] = timed(sides[side])
        difference = max(difference, float(np.abs(found[0] - found[1]).max()))
    return times[config.warm_ups :], difference


def main(config: Config) -> int:
    """Print times, their ratio and the largest difference."""
    require_at_least(1, robots=config.robots, repeats=config.repeats, threads=config.threads)
    require_at_least(0, warm_ups=config.warm_ups)
    spec, dtype = embodiment_spec(config.body), getattr(torch, config.dtype)
    first = XR0Policy.load(
        config.policy, spec, dtype=dtype, device=config.device, threads=config.threads
    )
    team = [first, *(first.another() for _ in range(config.robots - 1))]
    first.warm_up()
    times, difference = rounds(team, questions(config.robots, spec, first.max_prefix), config)
    singles, batch = 1e3 * np.median(times, axis=0)
    report = {
        "robots": config.robots,
        "singles_to_batch": float(np.median(times[:, 0] / times[:, 1])),
        "singles_ms": singles,
        "batch_ms": batch,
        "max_abs_diff": difference,
        "repeats": config.repeats,
    }
    if config.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            print(f"{name:<17} {value:.4g}")
    return 0


if __name__ == "__main__":
    sys.exit(run(main, Config))
