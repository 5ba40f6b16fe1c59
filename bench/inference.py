"""Inference of XR-0: our engine beside the released way of running the same weights.

Both run in one process, in turns, on one prompt of three images with random weights of the true
shapes; `released_style` is the other side and passes `takt model parity` itself. `dit_loop_speedup`
and `full_speedup` are its medians over ours, `refresh_ratio` our full inference over our loop on
kept keys and values, `max_abs_diff` the largest difference of undecoded chunks.

On a CPU: `cpu-bench` in float32 on one thread, `nano` beside it. On a GPU: `4.7b` in bfloat16;
`--quantise` measures ours with 8-bit weights (the other side keeps bfloat16).

`roofline_share` is the least time that a stage's work can take (`roofline`) over the time it took.
`peak_memory_gb` is the most that is held while ours runs once, with the weights of both sides there
(one and the same, unless `--quantise` gives ours its own): on a CPU resident memory of the process,
on a GPU what torch has reserved of it.
"""

import gc
import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from command import require_at_least, run
from inference_sides import VIEWS, Sides, prepare
from roofline import Peaks, measure_peaks, stage_work, wait

from takt.policies.xr0.cache import VLMCache
from takt.policies.xr0.presets import preset_or_file
from takt.policies.xr0.quantisation import Mode
from takt.types import TaktError

COMPARED = 8  # chunks of different noise


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Measure the engine beside the released computation."""

    device: Literal["cpu", "cuda"] = "cuda" if torch.cuda.is_available() else "cpu"
    """Where; the first GPU if there is one."""
    preset: tuple[str, ...] = ()
    """Sizes, or files config.json; `cpu-bench nano` on a CPU, `4.7b` on a GPU."""
    views: int = 3
    """Images of the prompt, 1 to 3."""
    horizon: int = 30
    """T, actions of a chunk."""
    steps: int = 5
    """Euler steps."""
    repeats: int | None = None
    """Timed rounds; 20 on a CPU, 200 on a GPU."""
    warm_ups: int | None = None
    """Rounds before them; 2 on a CPU, 300 on a GPU."""
    threads: int = 1
    """Of a CPU."""
    quantise: Mode | None = None
    """8-bit weights for ours."""
    compiled: bool = False
    """Let torch.compile fuse ours."""
    json: bool = False
    """Print one JSON object as the last line."""

    def __post_init__(self) -> None:
        """A measurement that this computer can make."""
        require_at_least(
            1,
            views=self.views,
            horizon=self.horizon,
            steps=self.steps,
            repeats=self.repeats,
            threads=self.threads,
        )
        require_at_least(0, warm_ups=self.warm_ups)
        if self.views > len(VIEWS):
            raise TaktError(f"expected --views of at most {len(VIEWS)}, got {self.views}")
        for name in self.preset:
            preset_or_file(name)
        if self.device == "cuda" and not torch.cuda.is_available():
            raise TaktError(
                "expected a GPU that this torch can use, got none for --device cuda; "
                "choose --device cpu, or install torch for CUDA"
            )

    @property
    def rounds(self) -> tuple[int, int]:
        """Before the timed ones, and timed."""
        usual = (2, 20) if self.device == "cpu" else (300, 200)
        asked = self.warm_ups, self.repeats
        first, timed = (y if x is None else x for x, y in zip(asked, usual, strict=True))
        return first, timed


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds."""

    p50: float
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Of one size."""

    preset: str
    device: str
    dtype: str
    quantise: Mode | None
    prompt_tokens: int
    repeats: int
    dit_loop_speedup: float
    full_speedup: float
    refresh_ratio: float
    max_abs_diff: float
    peak_memory_gb: float
    ours_ms: dict[str, Latency]
    released_ms: dict[str, Latency]
    roofline_share: dict[str, float]


def rounds(sides: Sides, config: Config) -> dict[str, list[float]]:
    """Seconds by side and stage; every round runs each of them once."""
    device, work = torch.device(config.device), sides.timed()
    warm_ups, repeats = config.rounds
    times: dict[str, list[float]] = {name: [] for name in work}
    for number in range(warm_ups + repeats):
        _progress(number, warm_ups + repeats)
        for name, stage in work.items():
            wait(device)
            started = time.perf_counter()
            stage()
            wait(device)
            if number >= warm_ups:
                times[name].append(time.perf_counter() - started)
    return times


def largest_difference(sides: Sides) -> float:
    """Of undecoded chunks, over several noises."""
    generator, differences = torch.Generator().manual_seed(1), []
    for _ in range(COMPARED):
        noise = torch.randn(sides.noise.shape, generator=generator).to(sides.noise)
        difference = sides.ours(noise).float() - sides.theirs(noise).float()
        differences.append(difference.abs().max().item())
    return max(differences)


def peak_memory(sides: Sides) -> int:
    """Bytes held at most while ours runs once."""
    device = sides.noise.device
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        sides.ours(sides.noise)
        wait(device)
        # Reserved, since the buffers of a recorded graph do not count as allocated when it runs.
        return torch.cuda.max_memory_reserved(device)
    with suppress(OSError):  # a sandbox may refuse; the peak is then that of everything so far
        Path("/proc/self/clear_refs").write_text("5")
    sides.ours(sides.noise)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


def measure(name: str, config: Config, peaks: Peaks) -> Report:
    """Time and compare one size."""
    gc.collect()  # the size before
    _say(f"{name}: building both sides")
    sides = prepare(
        name,
        torch.device(config.device),
        views=config.views,
        horizon=config.horizon,
        steps=config.steps,
        mode=config.quantise,
        compiled=config.compiled,
    )
    _say(f"{name}: comparing {COMPARED} chunks")
    difference = largest_difference(sides)
    _say(f"{name}: {' + '.join(map(str, config.rounds))} rounds of both sides")
    times = rounds(sides, config)
    peak = peak_memory(sides)
    _say(f"{name}: counting work")
    p50 = {stage: statistics.median(values) for stage, values in times.items()}

    def flow(cache: VLMCache) -> object:
        return sides.model.sample(cache, sides.state, sides.mask, sides.noise, None, config.steps)

    work = stage_work(sides.model, sides.served, sides.inputs, flow, config.steps)
    return Report(
        preset=name,
        device=_device_name(config),
        dtype=str(sides.model.dtype).removeprefix("torch."),
        quantise=config.quantise,
        prompt_tokens=sides.inputs.input_ids.shape[1],
        repeats=len(times["ours full"]),
        dit_loop_speedup=p50["released DiT loop"] / p50["ours DiT loop"],
        full_speedup=p50["released full"] / p50["ours full"],
        refresh_ratio=p50["ours full"] / p50["ours DiT loop"],
        max_abs_diff=difference,
        peak_memory_gb=peak / 1e9,
        ours_ms=dict(_latencies(times, "ours ")),
        released_ms=dict(_latencies(times, "released ")),
        roofline_share={part: peaks.share(w, p50[f"ours {part}"]) for part, w in work.items()},
    )


def show(report: Report) -> None:
    """A table of stages and the ratios."""
    dtype = report.dtype if report.quantise is None else f"{report.dtype}, {report.quantise}"
    print(f"{report.preset}, {report.device}, {dtype}, {report.prompt_tokens} prompt tokens")
    print(f"{'ms':<28} {'p50':>9} {'p99':>9} {'roofline':>9}")
    for side, latencies in (("released", report.released_ms), ("ours", report.ours_ms)):
        for stage, latency in latencies.items():
            share = report.roofline_share.get(stage) if side == "ours" else None
            shown = "" if share is None else f"{share:9.0%}"
            print(f"{f'{side} {stage}':<28} {latency.p50:9.2f} {latency.p99:9.2f} {shown}")
    print(
        f"DiT loop {report.dit_loop_speedup:.2f} x, full {report.full_speedup:.2f} x, full over "
        f"refresh {report.refresh_ratio:.1f}, largest difference {report.max_abs_diff:.1e}, "
        f"peak memory {report.peak_memory_gb:.2f} GB, n = {report.repeats}"
    )


def main(config: Config) -> int:
    """Measure and print each size; the first one's figures lead the JSON object."""
    torch.set_num_threads(config.threads)
    device = torch.device(config.device)
    _say("measuring this device")
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    peaks = measure_peaks(device, dtype, config.quantise)
    print(f"this device: {peaks.flops / 1e12:.3g} TFLOP/s, {peaks.bytes / 1e9:.3g} GB/s")
    names = config.preset or (("cpu-bench", "nano") if device.type == "cpu" else ("4.7b",))
    reports = []
    for name in names:
        reports.append(measure(name, config, peaks))
        show(reports[-1])
    if config.json:
        first, *others = map(asdict, reports)
        print(json.dumps({**first, "peaks": asdict(peaks), "others": others}))
    return 0


def _latencies(times: dict[str, list[float]], side: str) -> Iterator[tuple[str, Latency]]:
    for name, values in times.items():
        if name.startswith(side):
            p50, p99 = (float(x) * 1e3 for x in np.percentile(values, [50, 99]))
            yield name.removeprefix(side), Latency(p50=p50, p99=p99)


def _device_name(config: Config) -> str:
    if config.device == "cuda":
        return torch.cuda.get_device_name()
    return f"CPU, {config.threads} thread{'s' if config.threads > 1 else ''}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\rround {done + 1}/{total}", end="\n" if done + 1 == total else "", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(run(main, Config))
