"""What a stage of XR-0 must at least compute and read, and what this device can at best do.

Work: floating-point operations counted by torch on the model's own eager pass; bytes of every
weight once a pass (the DiT's once a flow step) and of the kept keys and values once a step.
Peaks: a large product and a large copy, timed here.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from takt.policies.common.qwen3_vl import encode_images
from takt.policies.xr0.cache import PromptInputs, VLMCache
from takt.policies.xr0.model import XR0

_RUNS = 7


@dataclass(frozen=True, slots=True)
class Work:
    """Of one stage."""

    flops: float
    bytes: float


@dataclass(frozen=True, slots=True)
class Peaks:
    """Of one device, per second."""

    flops: float
    bytes: float

    def share(self, work: Work, seconds: float) -> float:
        """The least time that `work` can take here, over the time that it took."""
        return max(work.flops / self.flops, work.bytes / self.bytes) / seconds


def stage_work(
    model: XR0, inputs: PromptInputs, flow: Callable[[VLMCache], object], steps: int
) -> dict[str, Work]:
    """Work of `vision`, `language` and `DiT loop`; `flow` integrates a chunk on a cache.

    Attention is counted where torch knows its kernel (not on a CPU, where it is a small part).
    """
    vlm, kept = model.vlm.model, model.encode(inputs)
    grids = [(rows, columns) for _, rows, columns in inputs.image_grid_thw.tolist()]
    pixels, precision = inputs.pixel_values, model.config.rotary
    seeing = _flops(lambda: encode_images(vlm.visual, pixels, grids, precision))
    looking = _flops(lambda: model.encode(inputs))
    kept_bytes = sum(x.nbytes for x in (*kept.keys, *kept.values))
    return {
        "vision": Work(seeing, _bytes(vlm.visual)),
        "language": Work(looking - seeing, _bytes(vlm.language_model.layers)),
        "DiT loop": Work(
            _flops(lambda: flow(kept)), steps * (_bytes(model.dit.layers) + kept_bytes)
        ),
    }


def measure_peaks(device: torch.device, dtype: torch.dtype) -> Peaks:
    """Best rates of a large square product in `dtype` and of a large copy."""
    side, length = (1024, 1 << 26) if device.type == "cpu" else (8192, 1 << 30)
    a = torch.randn(side, side, device=device).to(dtype)
    source = torch.zeros(length, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    product = torch.empty_like(a)
    multiply = _median_s(lambda: torch.mm(a, a, out=product), device)
    copy = _median_s(lambda: target.copy_(source), device)
    return Peaks(flops=2 * side**3 / multiply, bytes=2 * length / copy)


def wait(device: torch.device) -> None:
    """Until the device has finished what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _median_s(work: Callable[[], object], device: torch.device) -> float:
    times = []
    for _ in range(_RUNS):
        wait(device)
        started = time.perf_counter()
        work()
        wait(device)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _flops(work: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        work()
    return float(counter.get_total_flops())


def _bytes(module: nn.Module) -> int:
    return sum(x.nbytes for x in module.state_dict().values())
