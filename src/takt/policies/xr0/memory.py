"""Whether a model fits in the memory of its device, and what to say where it does not."""

import resource
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from takt.policies.xr0.cache import PromptInputs
from takt.policies.xr0.config import XR0Config
from takt.policies.xr0.presets import PRESETS
from takt.types import TaktError

if TYPE_CHECKING:
    from takt.policies.xr0.model import XR0


class NotEnoughMemoryError(TaktError):
    """A model larger than the free memory: how much is needed, how much there is, what fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What weights take; `stored` says in which dtype."""

    parameters: int
    bytes: int
    stored: str = "as stored"

    @classmethod
    def of(cls, weights: Mapping[str, Tensor], dtype: torch.dtype | None) -> "Need":
        """Of `weights`, stored as `dtype` (None: as they are)."""
        return cls(
            parameters=sum(x.numel() for x in weights.values()),
            bytes=sum(x.numel() * (dtype or x.dtype).itemsize for x in weights.values()),
            stored="as stored" if dtype is None else str(dtype).removeprefix("torch."),
        )


def require_memory(
    weights: Mapping[str, Tensor], dtype: torch.dtype | None, device: torch.device
) -> None:
    """Raise unless `weights`, stored as `dtype` (None: as they are), fit on `device`.

    Activations are not counted.

    Raises:
        NotEnoughMemoryError: They do not.
        TaktError: A GPU is asked for where there is none.
    """
    if device.type == "cuda" and not torch.cuda.is_available():
        raise TaktError(
            f"expected a GPU for device {str(device)!r}, torch finds none; use the cpu, or install "
            "a CUDA build of torch (`takt doctor` tells which one is there)"
        )
    available = available_bytes(device)
    need = Need.of(weights, dtype)
    if available is not None and need.bytes > available:
        raise _shortage(need, available, device)


@contextmanager
def named_refusal(need: Need, device: torch.device) -> Iterator[None]:
    """Give a refused allocation for `need` the words of `require_memory`.

    A limit of the process (`ulimit -v`) refuses what the system would still have.

    Raises:
        NotEnoughMemoryError: Something in the block could not be allocated.
    """
    with _renamed(lambda error: _shortage(need, _free(device), device, _reason(error))):
        yield


@contextmanager
def named_shortage(model: "XR0", inputs: PromptInputs) -> Iterator[None]:
    """Give an allocation refused during inference the words of `require_memory`.

    Raises:
        NotEnoughMemoryError: Something in the block could not be allocated.
    """
    with _renamed(lambda error: _inference_shortage(model, inputs, _reason(error))):
        yield


@contextmanager
def _renamed(words: Callable[[Exception], NotEnoughMemoryError]) -> Iterator[None]:
    """Raise `words(error)` in place of a refused allocation."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_refusal(error):
            raise
        raise words(error) from error


def _inference_shortage(model: "XR0", inputs: PromptInputs, reason: str) -> NotEnoughMemoryError:
    tokens, patches = inputs.input_ids.numel(), len(inputs.pixel_values)
    device = model.sink.weight.device
    free, need = _free(device), Need.of(model.state_dict(), None)
    working = working_bytes(model.config, tokens, patches, model.dtype)
    return NotEnoughMemoryError(
        f"expected about {working / 1e9:.3g} GB of free memory beside weights of "
        f"{need.bytes / 1e9:.3g} GB for {tokens} prompt tokens and {patches} image patches, "
        f"got {free / 1e9:.3g} GB on {device}{reason}; give fewer or smaller images; "
        f"{_advice(need.parameters, need.bytes, need.bytes + free, working)}"
    )


def working_bytes(config: XR0Config, tokens: int, patches: int, dtype: torch.dtype) -> int:
    """What an inference takes beside the weights, estimated: one layer's tensors, kept KV."""
    text, vision, dit = config.text, config.vision, config.dit
    heads = text.num_attention_heads + 2 * text.num_key_value_heads
    row = 8 * text.hidden_size + 3 * text.intermediate_size + heads * text.head_dim
    seeing = patches * (8 * vision.hidden_size + 2 * vision.intermediate_size)
    kept = text.num_key_value_heads * text.head_dim + dit.hidden_size
    kept *= 2 * tokens * dit.num_hidden_layers
    return dtype.itemsize * (max(seeing, tokens * row) + kept)


def _is_refusal(error: Exception) -> bool:
    # Of torch's errors only that of a GPU has a class of its own.
    is_named = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return is_named or "allocate memory" in str(error)


def _reason(error: Exception) -> str:
    return f" ({next(iter(str(error).splitlines()), 'refused')})"


def _free(device: torch.device) -> int:
    known = [available_bytes(device), _address_space_bytes() if device.type == "cpu" else None]
    return min((free for free in known if free is not None), default=0)


def _shortage(
    need: Need, available: int, device: torch.device, reason: str = ""
) -> NotEnoughMemoryError:
    return NotEnoughMemoryError(
        f"expected {need.bytes / 1e9:.3g} GB of free memory for {need.parameters / 1e6:.4g} M "
        f"parameters ({need.stored}), got {available / 1e9:.3g} GB on {device}{reason}; "
        f"{_advice(need.parameters, need.bytes, available)}"
    )


def available_bytes(device: torch.device, root: Path = Path("/")) -> int | None:
    """Bytes that can still be taken on `device`; None where the system does not say.

    On the CPU the smaller of what the system can free without swapping and what the process's
    control groups leave. `root` is where /proc and /sys are found.
    """
    match device.type:
        case "cuda":
            reusable = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
            return torch.cuda.mem_get_info(device)[0] + reusable
        case "cpu":
            known = [_system_bytes(root), *_group_bytes(root)]
            return min((free for free in known if free is not None), default=None)
        case _:
            return None


def _advice(count: int, needed: int, available: int, working: int = 0) -> str:
    """What fits: this model in bfloat16, smaller presets in its dtype.

    `needed` is for weights, `working` what an inference takes beside them, in the same dtype.
    """
    weights = count * torch.bfloat16.itemsize
    half = weights + working * weights // needed
    fitting: list[str] = []
    if weights < needed and half <= available:
        fitting.append(f"dtype bfloat16 ({half / 1e9:.3g} GB)")
    for name in PRESETS:
        parameters = _preset_parameters(name)
        size = parameters * (needed + working) // count
        if size <= available and parameters < count:
            fitting.append(f"preset {name} ({size / 1e9:.3g} GB)")
    return f"what fits: {', '.join(fitting) or 'nothing; free some memory'}"


@cache
def _preset_parameters(name: str) -> int:
    from takt.policies.xr0.model import XR0

    with torch.device("meta"):
        return sum(x.numel() for x in XR0(PRESETS[name]()).parameters())


def _system_bytes(root: Path) -> int | None:
    """`MemAvailable`: free memory and caches that the kernel can drop."""
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _group_bytes(root: Path) -> list[int]:
    """What each limit above this process leaves, control groups of version 1 and 2."""
    room: list[int] = []
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, limit, usage = "sys/fs/cgroup", "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            base = "sys/fs/cgroup/memory"
            limit, usage = "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        group = Path(path.lstrip("/"))
        for folder in (root / base / part for part in (group, *group.parents)):
            numbers = [_number(folder / name) for name in (limit, usage)]
            if numbers[0] is not None and numbers[1] is not None:
                room.append(numbers[0] - numbers[1] + _file_cache_bytes(folder))
    return room


def _file_cache_bytes(folder: Path) -> int:
    """Usage that the kernel takes back when memory runs short."""
    fields = dict(line.split() for line in _lines(folder / "memory.stat"))
    prefix = "total_" if "total_inactive_file" in fields else ""  # version 1: with its children
    return sum(int(fields.get(f"{prefix}{name}_file", 0)) for name in ("inactive", "active"))


def _address_space_bytes() -> int | None:
    """What `ulimit -v` leaves to this process; None without such a limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return None
    return max(limit - _virtual_bytes(), 0)


def _virtual_bytes() -> int:
    """Address space that this process holds."""
    statm = _lines(Path("/proc/self/statm"))
    return int(statm[0].split()[0]) * resource.getpagesize() if statm else 0


def _number(path: Path) -> int | None:
    """The file's number; None for a missing file or the word `max`."""
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].isdigit() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
