"""What a stage of XR-0 must at least compute and read, and what this device can at best do.

Work: floating-point operations counted by torch on the plain model's own eager pass; bytes of every
weight that the served model needs (its 8-bit codes, where it has them), once a pass (the DiT's once
a flow step), and of the kept keys and values once a step. The last language layer is needed for its
keys and values alone.
Peaks: a large copy and a large product, timed here: on a GPU in 8 bits, where inputs have them too.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from takt.policies.common.qwen3_vl import encode_images
from takt.policies.xr0.cache import PromptInputs, VLMCache
from takt.policies.xr0.model import XR0
from takt.policies.xr0.quantisation import Mode

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
    model: XR0,
    served: XR0,
    inputs: PromptInputs,
    flow: Callable[[VLMCache], object],
    steps: int,
) -> dict[str, Work]:
    """Work of `vision`, `language` and `DiT loop`; `flow` integrates a chunk on a cache.

    `model` has plain weights and is counted on; `served` is the same, perhaps with 8-bit weights.
    Attention is counted where torch knows its kernel (not on a CPU, where it is a small part).
    """
    vlm, kept = model.vlm.model, model.encode(inputs)
    grids = [(rows, columns) for _, rows, columns in inputs.image_grid_thw.tolist()]
    pixels, precision = inputs.pixel_values, model.config.rotary
    seeing = _flops(lambda: encode_images(vlm.visual, pixels, grids, precision))
    looking = _flops(lambda: model.encode(inputs))
    kept_bytes = sum(x.nbytes for x in (*kept.keys, *kept.values))
    return {
        "vision": Work(seeing, _bytes(served.vlm.model.visual)),
        "language": Work(looking - seeing, language_bytes(served)),
        "DiT loop": Work(
            _flops(lambda: flow(kept)), steps * (_bytes(served.dit.layers) + kept_bytes)
        ),
    }


def language_bytes(model: XR0) -> int:
    """Weights of the language layers that a prompt needs."""
    layers = model.vlm.model.language_model.layers
    last = layers[-1]
    attention = last.self_attn
    needed = attention.k_proj, attention.v_proj, attention.k_norm, last.input_layernorm
    return _bytes(layers) - _bytes(last) + sum(map(_bytes, needed))


def measure_peaks(device: torch.device, dtype: torch.dtype, mode: Mode | None = None) -> Peaks:
    """Best rates of a large copy and of a large square product, in `dtype` or as `mode` serves."""
    side, length = (1024, 1 << 26) if device.type == "cpu" else (8192, 1 << 30)
    source = torch.zeros(length, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    multiply = _median_s(_product(torch.randn(side, side, device=device), dtype, mode), device)
    copy = _median_s(lambda: target.copy_(source), device)
    return Peaks(flops=2 * side**3 / multiply, bytes=2 * length / copy)


def _product(a: Tensor, dtype: torch.dtype, mode: Mode | None) -> Callable[[], object]:
    """A x A, or A x A^T in 8 bits, of float32 (side, side), rounded to what is multiplied."""
    if a.is_cuda and mode == "int8-w8a8":
        codes = a.clamp(-4, 4).mul(31).to(torch.int8)
        return lambda: torch._int_mm(codes, codes.t())  # pyright: ignore[reportPrivateImportUsage]
    if a.is_cuda and mode == "fp8-w8a8":
        codes, ones = a.to(torch.float8_e4m3fn), torch.ones(len(a), 1, device=a.device)
        return lambda: torch._scaled_mm(  # pyright: ignore[reportPrivateImportUsage]
            codes,
            codes.t(),
            scale_a=ones,
            scale_b=ones.t(),
            out_dtype=dtype,
            use_fast_accum=True,
        )
    rounded = a.to(dtype)
    product = torch.empty_like(rounded)
    return lambda: torch.mm(rounded, rounded, out=product)


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
