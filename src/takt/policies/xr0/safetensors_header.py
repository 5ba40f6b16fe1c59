"""Names, shapes and sizes in a safetensors file, read from its header alone.

Format: 8 bytes little-endian header length, the header as JSON, then the tensors' bytes.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from takt.policies.xr0.checkpoint_files import CheckpointError

_LONGEST_HEADER = 100_000_000  # bytes; the format's own limit


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """One tensor; `dtype` in the format's own names ("BF16")."""

    dtype: str
    shape: tuple[int, ...]
    bytes: int

    @property
    def parameters(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


def read_header(path: Path) -> dict[str, StoredTensor]:
    """Tensors by name.

    Raises:
        CheckpointError: No such file, not safetensors, or shorter than its header says.
    """
    length = 0
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, _LONGEST_HEADER)))
        size = path.stat().st_size
        tensors, end = _entries(header)
    except OSError as error:
        raise CheckpointError(f"expected weights in {path}: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        # Their texts hold the bytes that were read, which may be the whole file.
        raise CheckpointError(
            f"{path} is not a complete safetensors file: expected a header of {length} bytes "
            f"that lists tensors, got something else ({type(error).__name__}); copy it again"
        ) from error
    if size != 8 + length + end:
        raise CheckpointError(
            f"{path} is not complete: expected {8 + length + end} bytes, got {size}; copy it again"
        )
    return tensors


def _entries(header: dict[str, Any]) -> tuple[dict[str, StoredTensor], int]:
    """Tensors by name, and where the last one's bytes end."""
    tensors, last = {}, 0
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = entry["data_offsets"]
        shape = tuple(entry["shape"])
        tensors[name] = StoredTensor(dtype=entry["dtype"], shape=shape, bytes=end - start)
        last = max(last, end)
    return tensors, last
