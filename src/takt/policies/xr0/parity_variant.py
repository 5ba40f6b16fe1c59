"""How a recorded run differed from its case: the words in front of a recorded tensor's name."""

import re
from dataclasses import dataclass, replace
from typing import Any

import torch

from takt.policies.xr0.config import CONTRACTS, Contract, RotaryPrecision

_NAMED: dict[str, dict[str, Any]] = {
    "leftpad": {},  # differs by its own inputs only
    "rope_bf16": {"rotary": "bfloat16"},
    "bf16": {"rotary": "bfloat16", "dtype": torch.bfloat16},
    **{f"as_{name}": {"contract": contract} for name, contract in CONTRACTS.items()},
}
_NUMBERED = {"steps": "steps", "prefix": "prefix", "T": "horizon"}
_NUMBERED_WORD = re.compile(r"steps[1-9]\d*|T[1-9]\d*|prefix-?\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Changes to the case's own run; None keeps the case's value.

    Attributes:
        words: As recorded, such as ("T4", "prefix2").
        contract: The forward contract.
        rotary: Precision of the rotary frequencies.
        dtype: Of weights and inputs.
        steps: Flow steps.
        horizon: The chunk is cut to this many rows.
        prefix: Clean actions in front; clamped to 0..T.
    """

    words: tuple[str, ...] = ()
    contract: Contract | None = None
    rotary: RotaryPrecision | None = None
    dtype: torch.dtype = torch.float32
    steps: int | None = None
    horizon: int | None = None
    prefix: int = 0

    @property
    def label(self) -> str:
        """What stands in front of the recorded names: "T4.prefix2.", or "" for the case's own."""
        return "".join(f"{word}." for word in self.words)


def split_name(recorded: str) -> tuple[Variant, str]:
    """A recorded name as its variant and the tensor's own name.

    Words may come in any number and order; the first unknown one begins the tensor's name.
    """
    variant, name = Variant(), recorded
    while True:
        word, dot, rest = name.partition(".")
        changes = _changes(word) if dot else None
        if changes is None:
            return variant, name
        variant = replace(variant, words=(*variant.words, word), **changes)
        name = rest


def _changes(word: str) -> dict[str, Any] | None:
    if word in _NAMED:
        return _NAMED[word]
    if _NUMBERED_WORD.fullmatch(word):
        kind = word.rstrip("-0123456789")
        return {_NUMBERED[kind]: int(word.removeprefix(kind))}
    return None
