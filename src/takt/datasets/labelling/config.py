"""What can be chosen of labelling."""

from dataclasses import dataclass
from typing import Literal

from takt.datasets.labelling.trajectory import OPPOSITE, Direction
from takt.types import TaktError


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelConfig:
    """How rows are made of an episode."""

    every_s: float = 1.0
    """Seconds between the frames that are asked about."""
    cameras: tuple[str, ...] = ()
    """Cameras to look through; by default all."""
    phrases: tuple[str, ...] = ()
    """What to look for ("red cup"); by default what the VLM sees in each frame."""
    votes: int = 2
    """Detectors that must agree on a box."""
    overlap: float = 0.5
    """Least intersection over union of boxes that agree."""
    score: float = 0.3
    """Least score of a detector's box."""
    vqa: int = 2
    """Questions about each image that the VLM thinks of."""
    points: tuple[str, ...] = ()
    """Names of the first camera's points in the column of points; without them there are no point
    trajectories."""
    points_key: str = "annotation.points"
    """Column of image points, (x, y) each, in [-1, 1] where in view; the first camera's first."""
    horizon_s: float = 1.0
    """Seconds that questions about what comes next look ahead."""
    directions: tuple[Direction, Direction, Direction] | None = None
    """Where the x, y and z of the hands point, seen from the robot's base (ROS: forward left up);
    without them it is not asked which way a hand moves."""
    gripper_open: Literal["high", "low"] = "high"
    """End of the gripper's axis at which it is open."""
    seed: int = 0
    """Of wordings and order."""

    def __post_init__(self) -> None:
        """Numbers that make rows."""
        for name in ("every_s", "horizon_s"):
            if not 0 < getattr(self, name) < float("inf"):
                option = name.replace("_", "-")
                raise TaktError(f"expected a positive --{option}, got {getattr(self, name)}")
        for name in ("overlap", "score"):
            if not 0 < getattr(self, name) <= 1:
                raise TaktError(f"expected --{name} above 0, at most 1, got {getattr(self, name)}")
        for name, least in {"votes": 1, "vqa": 0, "seed": 0}.items():
            if getattr(self, name) < least:
                raise TaktError(f"expected --{name} of at least {least}, got {getattr(self, name)}")
        axes = self.directions
        if axes and len({frozenset((way, OPPOSITE[way])) for way in axes}) < len(axes):
            raise TaktError(
                "expected --directions of x, y and z at right angles, such as forward left up, got "
                + " ".join(axes)
            )
