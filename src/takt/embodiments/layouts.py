"""Which policy column means what in the released checkpoints (xr0-model reference, section 5)."""

from collections.abc import Mapping
from dataclasses import dataclass

from takt.types import TaktError


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Names for the columns of a checkpoint's action and state vectors.

    Attributes:
        actions: Action column by axis name.
        states: State column by axis name.
        views: Titles of the cameras in the prompt, in prompt order.
        relative: Whether actions are offsets from the state at the chunk's stamp.
    """

    actions: Mapping[str, int]
    states: Mapping[str, int]
    views: tuple[str, ...]
    relative: bool


def _arm(side: str, first: int) -> dict[str, int]:
    # Columns 0:6 of an arm are its tool pose, whose offset is a rotation and no difference:
    # a body is mapped by its joints, and those columns of a chunk are left unread.
    joints = {f"{side}_joint_{number}": first + 6 + number for number in range(1, 7)}
    return {f"{side}_gripper": first + 6, **joints}


def _columns(*names: str) -> dict[str, int]:
    return {name: column for column, name in enumerate(names)}


_BIMANUAL = _arm("left", 0) | _arm("right", 14)
_TOOL = _columns("x", "y", "z", "rx", "ry", "rz", "gripper")
_WRIST = ("Base View", "Left-Wrist View")

LAYOUTS: dict[str, Layout] = {
    "bimanual": Layout(
        actions=_BIMANUAL,
        states=_BIMANUAL,
        views=("Ego View", "Left-Wrist View", "Right-Wrist View"),
        relative=True,
    ),
    "libero": Layout(
        actions=_TOOL,
        states=_columns("x", "y", "z", "rx", "ry", "rz", "finger_1", "finger_2"),
        views=_WRIST,
        relative=False,
    ),
    "calvin": Layout(
        actions=_TOOL,
        states=_columns("x", "y", "z", "roll", "pitch", "yaw", "gripper"),
        views=_WRIST,
        relative=False,
    ),
    "bridge": Layout(
        actions=_TOOL,
        states=_columns("x", "y", "z", "roll", "pitch", "yaw") | {"gripper": 7},  # 6 stays 0
        views=("Base View",),
        relative=False,
    ),
    "fractal": Layout(
        actions=_TOOL,
        states=_columns("x", "y", "z", "qx", "qy", "qz", "qw", "gripper"),
        views=("Ego View",),
        relative=False,
    ),
}


def released_layout(name: str) -> Layout:
    """A layout by name; an unknown name lists the known ones."""
    if name not in LAYOUTS:
        raise TaktError(f"unknown layout {name!r}; known: {', '.join(LAYOUTS)}")
    return LAYOUTS[name]
