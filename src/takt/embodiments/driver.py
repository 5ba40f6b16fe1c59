"""What a real body offers: joints to be read and commanded, cameras to be waited for.

Stamps are seconds on `time.monotonic()` of the capturing host, taken as close to the capture as the
device allows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from beartype import beartype
from jaxtyping import Float32, UInt8, jaxtyped

from takt.types import EmbodimentSpec, Seconds, TaktError


class DriverError(TaktError):
    """A device that does not answer, or answers nonsense; says which."""


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, slots=True, kw_only=True)
class JointSample:
    """Measured axes in the order and units of the spec; `touch`: forces, if it measures any."""

    stamp: Seconds
    state: Float32[np.ndarray, " state"]
    touch: Float32[np.ndarray, " touch"] | None = None


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One image, RGB, and when it was captured."""

    stamp: Seconds
    image: UInt8[np.ndarray, "height width 3"]


class Camera(Protocol):
    """One camera; a thread of its own waits on it, so it may take as long as it takes."""

    def read(self) -> Frame:
        """Wait for the next frame. An exception loses this one only: it is asked again."""
        ...

    def close(self) -> None:
        """Release the device; a `read` that waits may end with an exception. Idempotent."""


class Driver(Protocol):
    """A real body. `read` is called in one thread, `command` in another, `stop` in any.

    A bus that cannot talk to two callers at once needs a lock inside, which `stop` must not wait on
    for ever: it is also called because somebody else is stuck.
    """

    @property
    def spec(self) -> EmbodimentSpec:
        """Its fixed facts."""
        ...

    @property
    def cameras(self) -> Mapping[str, Camera]:
        """One for each camera of the spec; open after `connect`."""
        ...

    def connect(self) -> None:
        """Open the devices; the body does not move yet."""

    def read(self) -> JointSample:
        """Measure the joints now. An exception loses this sample only: it is asked again."""
        ...

    def command(self, action: Float32[np.ndarray, " action"]) -> None:
        """Track `action` (absolute targets in the spec's units) until the next command."""

    def stop(self) -> None:
        """Hold still, safely, whatever the others are doing. Idempotent."""

    def close(self) -> None:
        """Release the devices. Idempotent."""
