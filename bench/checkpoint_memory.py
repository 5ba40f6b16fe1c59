"""Memory that a checkpoint of the released size takes to load.

Writes a random bfloat16 checkpoint shard by shard, opens it in a fresh process, reads one byte of
every page of its weights and deletes it. Needs the checkpoint's size (8.8 GiB) in free disk.

`peak` is the largest resident size of that process (`VmHWM`; `ru_maxrss` would start at that of the
process which wrote the file). It counts `file` pages, which belong to the mapped checkpoint and
which the kernel may drop at any time, and `anonymous` memory, which it may not: a second copy of
the weights would show there.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from command import run
from torch import Tensor

from takt.policies.xr0.model import XR0
from takt.policies.xr0.presets import preset_or_file
from takt.policies.xr0.weights import load_weights, write_weights
from takt.types import TaktError

LIMIT_BYTES = 12e9  # on a computer of 24 GB the rest stays for everything else
PAGE_BYTES = 4096
RANDOM_ELEMENTS = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Measure the memory that loading takes."""

    preset: str = "4.7b"
    """Size of the checkpoint, or its config.json."""
    folder: Path | None = None
    """Where it is written for a while; the system's temporary folder by default."""
    load: Path | None = None
    """Only open this folder, measure and print; what the fresh process runs."""
    json: bool = False
    """Print one JSON object as the last line."""

    def __post_init__(self) -> None:
        """A size that there is, a folder to write to."""
        preset_or_file(self.preset)
        if self.folder is not None and not self.folder.is_dir():
            raise TaktError(f"expected a folder to write to, got --folder {self.folder}; make it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Resident memory of this process in bytes."""

    anonymous: int
    file: int
    peak: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A load: `imported` before it, `loaded` right after, `read` once every page was touched."""

    weights_bytes: int
    load_s: float
    read_s: float
    imported: Memory
    loaded: Memory
    read: Memory


def resident() -> Memory:
    """What this process holds now, and its peak so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = {key: value for key, _, value in (line.partition(":") for line in lines)}
    names = ("RssAnon", "RssFile", "VmHWM")
    anonymous, file, peak = (int(fields[name].split()[0]) * 1024 for name in names)
    return Memory(anonymous=anonymous, file=file, peak=peak)


def random_tensors(preset: str) -> Iterator[tuple[str, Tensor]]:
    """The preset's tensors in bfloat16, one at a time; one block of noise, repeated."""
    with torch.device("meta"):
        shapes = {name: x.shape for name, x in XR0(preset_or_file(preset)).state_dict().items()}
    noise = torch.randn(RANDOM_ELEMENTS).mul_(0.02).bfloat16()
    for name, shape in shapes.items():
        tensor = torch.empty(shape, dtype=torch.bfloat16)
        for part in tensor.view(-1).split(len(noise)):
            part.copy_(noise[: len(part)])
        yield name, tensor


def measure(preset: str, folder: Path) -> Report:
    """Load and read the checkpoint in `folder` in this process."""
    imported, started = resident(), time.perf_counter()
    model = load_weights(preset_or_file(preset), folder, dtype=None)
    load_s, loaded = time.perf_counter() - started, resident()
    started, size = time.perf_counter(), 0
    for tensor in model.state_dict().values():
        tensor.view(-1).view(torch.uint8)[::PAGE_BYTES].max()
        size += tensor.nbytes
    read_s = time.perf_counter() - started
    return Report(
        weights_bytes=size,
        load_s=load_s,
        read_s=read_s,
        imported=imported,
        loaded=loaded,
        read=resident(),
    )


def show(report: Report) -> None:
    """A row for each moment."""
    print(f"weights {report.weights_bytes / 1e9:.2f} GB, bfloat16, mapped")
    print(f"{'GB':<26} {'anonymous':>9} {'file':>6} {'peak':>6}")
    rows = {
        "imported": report.imported,
        f"loaded in {report.load_s:.1f} s": report.loaded,
        f"all pages read in {report.read_s:.0f} s": report.read,
    }
    for name, memory in rows.items():
        anonymous, file, peak = (x / 1e9 for x in (memory.anonymous, memory.file, memory.peak))
        print(f"{name:<26} {anonymous:9.2f} {file:6.2f} {peak:6.2f}")


def main(config: Config) -> int:
    """Write, load in a fresh process and report; 1 when the peak passes the limit."""
    if config.load is not None:
        report = measure(config.preset, config.load)
        show(report)
        if config.json:
            print(json.dumps(asdict(report)))
        return int(report.read.peak > LIMIT_BYTES)
    with tempfile.TemporaryDirectory(prefix="takt-checkpoint-", dir=config.folder) as folder:
        write_weights(Path(folder), random_tensors(config.preset))
        options = ["--preset", config.preset, "--load", folder, *["--json"] * config.json]
        return subprocess.run([sys.executable, __file__, *options], check=False).returncode


if __name__ == "__main__":
    sys.exit(run(main, Config))
