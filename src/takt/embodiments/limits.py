"""What a body must not be asked to do, beyond the bounds of its action space."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from beartype import beartype
from jaxtyping import Float32, jaxtyped

from takt.types import TaktError


class LimitsError(TaktError):
    """Limits that do not fit the body."""


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, slots=True, kw_only=True)
class AxisBox:
    """Where the action axes themselves may go: for bodies commanded in tool coordinates."""

    low: Float32[np.ndarray, " action"]
    high: Float32[np.ndarray, " action"]


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, slots=True, kw_only=True)
class ToolBox:
    """Where the tools may go. `tools`: forward kinematics, (action,) to (tool, 3) in metres."""

    tools: Callable[[np.ndarray], np.ndarray]
    low: Float32[np.ndarray, " 3"]
    high: Float32[np.ndarray, " 3"]


Workspace = AxisBox | ToolBox


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of a body, each in its axes' own units; None, or infinity on an axis, means none.

    `velocity` is per second, `acceleration` per second squared. `force` bounds the magnitude of
    each measured touch value: more of it stops the body.
    """

    velocity: Float32[np.ndarray, " action"] | None = None
    acceleration: Float32[np.ndarray, " action"] | None = None
    workspace: Workspace | None = None
    force: Float32[np.ndarray, " touch"] | None = None

    def __post_init__(self) -> None:
        """Every limit leaves room to move."""
        for name in ("velocity", "acceleration", "force"):
            values = getattr(self, name)
            if values is not None and not (values > 0).all():
                raise LimitsError(
                    f"{name} limit: expected more than 0 on every axis, got {values.tolist()}; "
                    "use infinity where there is no limit"
                )
        box = self.workspace
        if box is not None and not (box.low < box.high).all():
            raise LimitsError(
                f"workspace: expected low < high, got {box.low.tolist()} and {box.high.tolist()}"
            )


UNLIMITED = Limits()
