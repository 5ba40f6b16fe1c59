"""Samples per second: JPEG shards beside decoding each sample's frames from video on demand.

Writes three H.264 clips as takt records them (a key frame every second frame, the best case for
random access), makes frame shards of them, and draws the same random ticks from both, in turns,
with the same worker threads. On demand keeps its videos open: only seeking and decoding is timed.
"""

import io
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import tyro
from av.container import InputContainer

from takt.datasets import video
from takt.datasets.frame_shards import FrameShards
from takt.datasets.prefetch import prefetched

CLAIM = 2.0
RATE_HZ = 30.0
Loader = Callable[[np.ndarray], dict[str, np.ndarray]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Measure both ways of loading in one run."""

    cameras: int = 3
    """Clips that a sample takes one frame of each from."""
    pixels: int = 224
    """Height and width."""
    frames: int = 300
    """Length of each clip."""
    batch: int = 16
    """Samples per batch."""
    batches: int = 6
    """Batches per round and side."""
    rounds: int = 9
    """Rounds; the sides take turns at beginning."""
    workers: int = 2
    """Threads of either side."""
    json: bool = False
    """Print one JSON object as the last line."""


class OnDemand:
    """Seeks and decodes the frames that a batch asks for; every thread keeps its videos open."""

    def __init__(self, clips: dict[str, bytes]) -> None:
        self._clips = clips
        self._own = threading.local()

    def take(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The frames `rows` (B,) by camera, (B, height, width, 3) uint8."""
        if not hasattr(self._own, "opened"):
            self._own.opened = {name: _opened(clip) for name, clip in self._clips.items()}
        opened: dict[str, InputContainer] = self._own.opened
        return {
            name: np.stack([_frame(container, int(row)) for row in rows])
            for name, container in opened.items()
        }


def _opened(clip: bytes) -> InputContainer:
    container = av.open(io.BytesIO(clip), "r")
    container.streams.video[0].codec_context.thread_count = 1  # the workers are the threads
    return container


def _frame(container: InputContainer, tick: int) -> np.ndarray:
    stream = container.streams.video[0]
    assert stream.time_base is not None
    pts = round(tick / RATE_HZ / stream.time_base)
    container.seek(pts, stream=stream)
    for frame in container.decode(stream):
        if frame.pts is not None and frame.pts >= pts:
            return frame.to_ndarray(format="rgb24", threads=1)
    raise AssertionError(f"no frame {tick}")


def make_clip(config: Config, seed: int) -> np.ndarray:
    """A textured scene that pans, (frame, height, width, 3) uint8."""
    draw, side = np.random.default_rng(seed), config.pixels
    height = side + config.frames
    light = draw.integers(0, 128, (height // 8 + 1, side // 8 + 1)).repeat(8, 0).repeat(8, 1)
    colour = draw.integers(0, 96, (height // 56 + 1, side // 56 + 1, 3)).repeat(56, 0).repeat(56, 1)
    grain = draw.normal(16, 4, (height, side))
    scene = light[:height, :side, None] + colour[:height, :side] + grain[..., None]
    scene = scene.clip(0, 255).astype(np.uint8)
    return np.stack([scene[tick : tick + side] for tick in range(config.frames)])


def prepare(config: Config, folder: Path) -> tuple[OnDemand, FrameShards]:
    """Both sides over the same decoded video."""
    names = [f"camera_{number}" for number in range(config.cameras)]
    clips: dict[str, bytes] = {}
    images: dict[str, np.ndarray] = {}
    for seed, name in enumerate(names):
        path = folder / f"{name}.mp4"
        with path.open("wb") as file:
            video.encode(make_clip(config, seed), RATE_HZ, file)
        clips[name] = path.read_bytes()
        clip = video.Clip(
            path=path,
            episode=0,
            start_s=0.0,
            count=config.frames,
            height=config.pixels,
            width=config.pixels,
            rate_hz=RATE_HZ,
        )
        images[name] = video.decode(clip)
    return OnDemand(clips), FrameShards.build([images], names, folder / "shards")


def samples_per_s(take: Loader, batches: Sequence[np.ndarray], workers: int) -> float:
    """Batches as a trainer would draw them that needs no time of its own."""
    started = time.perf_counter()
    count = sum(
        len(next(iter(batch.values())))
        for batch in prefetched(batches, take, workers=workers, ahead=2 * workers)
    )
    return count / (time.perf_counter() - started)


def measure(config: Config, folder: Path) -> dict[str, list[float]]:
    """Samples per second of each side by round."""
    on_demand, shards = prepare(config, folder)
    sides: dict[str, Loader] = {
        "on demand": on_demand.take,
        "frame shards": lambda rows: dict(shards.take(rows)),
    }
    draw = np.random.default_rng(0)
    probe = draw.integers(0, config.frames, 4)
    for name, frames in on_demand.take(probe).items():
        difference = np.abs(frames.astype(int) - shards.take(probe)[name]).mean()
        assert difference < 3, f"{name}: the sides differ by {difference:.1f} grey levels"
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(config.rounds):
        batches = list(draw.integers(0, config.frames, (config.batches, config.batch)))
        for name in list(sides)[:: 1 if turn % 2 == 0 else -1]:
            speeds[name].append(samples_per_s(sides[name], batches, config.workers))
    return speeds


def main(argv: Sequence[str] | None = None) -> int:
    """Print medians and their ratio; 1 when it misses the claim."""
    config = tyro.cli(Config, args=argv)
    with tempfile.TemporaryDirectory() as folder:
        speeds = measure(config, Path(folder))
    medians = {name: statistics.median(rates) for name, rates in speeds.items()}
    ratios = [b / a for a, b in zip(*speeds.values(), strict=True)]
    ratio = statistics.median(ratios)
    print(
        f"loader, {config.cameras} cameras {config.pixels} px h264, {config.workers} workers, "
        f"median of {config.rounds} rounds of {config.batches * config.batch} samples"
    )
    for name, rate in medians.items():
        print(f"  {name:<13} {rate:8.1f} samples/s")
    print(f"  ratio         {ratio:8.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    if config.json:
        print(json.dumps({"samples_per_s": medians, "ratio": ratio, "ratios": ratios}))
    return int(ratio < CLAIM)


if __name__ == "__main__":
    sys.exit(main())
