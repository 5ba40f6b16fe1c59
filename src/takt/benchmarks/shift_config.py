"""What a shift was asked for, and everything that determines its result."""

import json
import shlex
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, Self

from takt.seeds import Split
from takt.types import TaktError

Mode = Literal["async", "naive", "sync"]
ClockName = Literal["virtual", "wall"]
Device = Literal["cpu", "cuda"]
Precision = Literal["float32", "bfloat16"]
EightBit = Literal["int8", "int8-w8a8", "fp8", "fp8-w8a8"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftConfig:
    """What was asked for. Cycle i uses seed `seed + i`; `grey` blinds the policy, as a control.

    Where and in which arithmetic a checkpoint runs: `device`, `dtype`, `quantise` (8-bit weights).
    """

    cycles: int
    mode: Mode
    seed: int
    split: Split
    clock: ClockName
    latency_ms: float
    policy: str
    grey: bool
    device: Device = "cpu"
    dtype: Precision = "float32"
    quantise: EightBit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedShift(ShiftConfig):
    """The `config.json` of a shift: two with the same one (but for `cycles`) are the same shift.

    Digests cover the package's sources and scenes, and the checkpoint.
    """

    takt_version: str
    code_digest: str
    policy_digest: str
    embodiment: str
    rate_hz: float
    chunking: str
    horizon: int
    delay_ticks: int

    @property
    def injected_ms(self) -> float | None:
        """Latency that was injected; None on the wall clock, where it is what it is."""
        return self.latency_ms if self.clock == "virtual" else None

    @property
    def command(self) -> str:
        """What to type to run it again."""
        words = ["takt", "shift", "--policy", self.policy, "--cycles", str(self.cycles)]
        words += ["--mode", self.mode, "--seed", str(self.seed), "--split", self.split]
        words += ["--clock", self.clock, "--latency-ms", f"{self.latency_ms:g}"]
        words += ["--device", self.device] * (self.device != "cpu")
        words += ["--dtype", self.dtype] * (self.dtype != "float32")
        words += ["--quantise", self.quantise] if self.quantise else []
        return shlex.join([*words, *(["--grey"] if self.grey else [])])

    def differences(self, other: Self) -> list[str]:
        """Where `other` describes another shift; more or fewer cycles are the same one."""
        ours, theirs = asdict(self), asdict(other)
        return [
            f"{key}: found {ours[key]!r}, asked {theirs[key]!r}"
            for key in ours
            if key != "cycles" and ours[key] != theirs[key]
        ]

    def to_json(self) -> str:
        """The file's text."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def read(cls, path: Path) -> Self:
        """What `to_json` gave.

        Raises:
            TaktError: the file is damaged or was written by another version.
        """
        try:
            data = json.loads(path.read_text())
            return cls(**{field.name: data[field.name] for field in fields(cls)})
        except (ValueError, KeyError, TypeError) as error:
            raise TaktError(
                f"expected the config of a shift in {path}, got {error!r}; "
                "it is damaged or of another version: choose a new --out"
            ) from error
