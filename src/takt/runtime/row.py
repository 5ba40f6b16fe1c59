"""One executed tick as a spool keeps it: which columns a body's rows have, and in which bytes."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Self, get_args

import numpy as np

from takt.runtime.tick import Authority
from takt.types import EmbodimentSpec, Seconds, TaktError

AUTHORITIES: tuple[Authority, ...] = get_args(Authority)
TEXT_BYTES = 1024  # of an instruction: rows of one length need no index to be found
IMAGE = "image."  # in front of a camera's name, in the names of the columns


class RowError(TaktError):
    """A tick that has other columns than its body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One executed tick.

    Attributes:
        stamp: Control time, seconds.
        wall_s: Monotonic time of this host at the end of the tick.
        image_stamps: Capture time by camera, on the control clock.
        images: (height, width, 3) uint8 RGB by camera.
        state: (state,) float32, measured.
        executed: (action,) float32 that the body was given.
        planned: (action,) float32 that the policy wished.
        authority: Who decided.
        instruction: Of this tick.
        touch: (touch,) float32.
    """

    stamp: Seconds
    wall_s: Seconds
    image_stamps: Mapping[str, Seconds]
    images: Mapping[str, np.ndarray]
    state: np.ndarray
    executed: np.ndarray
    planned: np.ndarray
    authority: Authority
    instruction: str
    touch: np.ndarray | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowLayout:
    """Columns of a body's rows: equal for two bodies whose episodes fit the same dataset.

    `cameras` are name, height and width; `state` and `actions` name the axes, `touch` counts.
    """

    body: str
    rate_hz: float
    cameras: tuple[tuple[str, int, int], ...]
    state: tuple[str, ...]
    actions: tuple[str, ...]
    touch: int

    @classmethod
    def of(cls, spec: EmbodimentSpec, touch: int) -> Self:
        """Those of `spec` with `touch` forces."""
        return cls(
            body=spec.name,
            rate_hz=spec.rate_hz,
            cameras=tuple((c.name, c.height, c.width) for c in spec.cameras),
            state=spec.state_names,
            actions=spec.action_space.names,
            touch=touch,
        )

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Inverse of `to_json`; a ValueError, TypeError or KeyError if it is none."""
        raw = json.loads(text)
        return cls(
            body=str(raw["body"]),
            rate_hz=float(raw["rate_hz"]),
            cameras=tuple((str(name), int(high), int(wide)) for name, high, wide in raw["cameras"]),
            state=tuple(map(str, raw["state"])),
            actions=tuple(map(str, raw["actions"])),
            touch=int(raw["touch"]),
        )

    def to_json(self) -> bytes:
        """Plain names and numbers."""
        return json.dumps(asdict(self)).encode()

    def differences(self, other: Self) -> str:
        """What `other` has differently, in words; empty if nothing."""
        ours, theirs = asdict(self), asdict(other)
        return "; ".join(
            f"{name} {theirs[name]} instead of {ours[name]}"
            for name in ours
            if ours[name] != theirs[name]
        )

    @property
    def dtype(self) -> np.dtype:
        """Of one row: the numbers, then the images."""
        images = [(IMAGE + name, "u1", (high, wide, 3)) for name, high, wide in self.cameras]
        return np.dtype([*self._numbers, *images])

    @property
    def _numbers(self) -> list[tuple]:
        return [
            ("stamp", "<f8"),
            ("wall_s", "<f8"),
            ("image_stamps", "<f8", (len(self.cameras),)),
            ("state", "<f4", (len(self.state),)),
            ("executed", "<f4", (len(self.actions),)),
            ("planned", "<f4", (len(self.actions),)),
            ("touch", "<f4", (self.touch,)),
            ("authority", "u1"),
            ("instruction", f"S{TEXT_BYTES}"),
        ]

    def parts(self, row: Row) -> Iterator[np.ndarray]:
        """The bytes of a row that fits, in the order of `dtype`."""
        head = np.zeros(1, np.dtype(self._numbers))
        for name in ("stamp", "wall_s", "state", "executed", "planned"):
            head[name] = getattr(row, name)
        head["image_stamps"] = [row.image_stamps[name] for name, _, _ in self.cameras]
        head["touch"] = _touch(row)
        head["authority"] = AUTHORITIES.index(row.authority)
        head["instruction"] = row.instruction.encode()
        yield head
        for name, _, _ in self.cameras:
            yield np.ascontiguousarray(row.images[name])

    def require_fit(self, row: Row) -> None:
        """Raise a `RowError` for what no dataset of this body would take; quick enough for a tick.

        Found out at the end of an episode, it would be too late.
        """
        expected = {name: (high, wide, 3) for name, high, wide in self.cameras}
        found = {name: image.shape for name, image in row.images.items()}
        if found != expected:
            raise self._error("images", expected, found)
        for name, stamp in row.image_stamps.items():
            if not -np.inf < stamp <= row.stamp:
                raise self._error(f"a capture time of {name}", f"up to {row.stamp}", stamp)
        widths = {"state": len(self.state), "touch": self.touch}
        widths |= dict.fromkeys(("executed", "planned"), len(self.actions))
        for name, width in widths.items():
            values = _touch(row) if name == "touch" else getattr(row, name)
            if values.shape != (width,) or not np.isfinite(values).all():
                raise self._error(name, f"{width} finite numbers", values)
        if len(row.instruction.encode()) > TEXT_BYTES:
            raise self._error(
                "instruction", f"at most {TEXT_BYTES} bytes", len(row.instruction.encode())
            )

    def _error(self, what: str, expected: object, found: object) -> RowError:
        return RowError(
            f"body {self.body!r}, {what} to be recorded: expected {expected}, got {found}; the "
            "ticks before are kept: mend what the body reports"
        )


def _touch(row: Row) -> np.ndarray:
    return np.empty(0, np.float32) if row.touch is None else row.touch
