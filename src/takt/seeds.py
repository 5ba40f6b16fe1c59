"""Seeds of training, validation and evaluation never meet: one range each."""

from typing import Literal

from takt.types import TaktError

VALIDATION_BEGIN = 10**5
EVALUATION_BEGIN = 10**6

Split = Literal["training", "validation", "evaluation"]
_RANGES: dict[Split, range] = {
    "training": range(0, VALIDATION_BEGIN),
    "validation": range(VALIDATION_BEGIN, EVALUATION_BEGIN),
    "evaluation": range(EVALUATION_BEGIN, 2**31),
}


class SeedError(TaktError):
    """A seed from the wrong range: the result would be measured on what was trained on."""


def require_split(seed: int, count: int, split: Split) -> None:
    """Refuse unless `seed` … `seed + count - 1` all belong to `split`."""
    allowed = _RANGES[split]
    for edge in (seed, seed + max(count, 1) - 1):
        if edge not in allowed:
            raise SeedError(
                f"expected {split} seeds in [{allowed.start}, {allowed.stop}), got {edge}; "
                f"choose --seed from that range"
            )
