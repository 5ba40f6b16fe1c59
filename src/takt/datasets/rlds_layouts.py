"""Which features of an RLDS dataset are images, state, action and language.

Keys count from a step. Axis names are those of `takt.embodiments.layouts` where XR-0 was released
for the dataset. Sources: the datasets' own features.json; rates from their papers.

A dataset of one's own is described in a TOML file:

    rate_hz = 10
    instruction = ["language_instruction"]
    cameras = { base = "observation/image" }
    state = [{ key = "observation/state", axes = ["x", "y", "z", "gripper"] }]
    actions = [{ key = "action", axes = ["x", "y", "z", "gripper"] }]
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from beartype.door import is_bearable

from takt.types import TaktError

_POSITION = ("x", "y", "z")
_ROTATION = ("rx", "ry", "rz")
_POSE = (*_POSITION, "roll", "pitch", "yaw", "gripper")
_TOOL = (*_POSITION, *_ROTATION, "gripper")
_ARM = tuple(f"joint_{number}" for number in range(1, 8))


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Axes that a numeric feature contributes to a vector, in its own order."""

    key: str
    axes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RldsLayout:
    """The field map of one dataset.

    Attributes:
        rate_hz: Steps per second; RLDS stores none.
        cameras: Image feature by camera name.
        state: What makes up the state.
        actions: What makes up the action.
        instruction: Language features; the first that is not empty counts.
    """

    rate_hz: float
    cameras: Mapping[str, str]
    state: tuple[Part, ...]
    actions: tuple[Part, ...]
    instruction: tuple[str, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """Every feature that is read."""
        parts = [part.key for part in (*self.state, *self.actions)]
        return (*self.cameras.values(), *parts, *self.instruction)


def _droid(arm: str, axes: tuple[str, ...]) -> RldsLayout:
    return RldsLayout(
        rate_hz=15.0,
        cameras={
            "exterior_1": "observation/exterior_image_1_left",
            "exterior_2": "observation/exterior_image_2_left",
            "wrist": "observation/wrist_image_left",
        },
        state=(
            Part(key=f"observation/{arm}", axes=axes),
            Part(key="observation/gripper_position", axes=("gripper",)),
        ),
        # `action` holds joint velocities; these are the targets that were commanded.
        actions=(
            Part(key=f"action_dict/{arm}", axes=axes),
            Part(key="action_dict/gripper_position", axes=("gripper",)),
        ),
        instruction=("language_instruction", "language_instruction_2", "language_instruction_3"),
    )


LAYOUTS: dict[str, RldsLayout] = {
    "droid": _droid("joint_position", _ARM),
    "droid-tool": _droid("cartesian_position", (*_POSITION, *_ROTATION)),
    "bridge": RldsLayout(
        rate_hz=5.0,
        cameras={"base": "observation/image_0"},
        state=(Part(key="observation/state", axes=_POSE),),
        actions=(Part(key="action", axes=_TOOL),),
        instruction=("language_instruction",),
    ),
    "bridge-oxe": RldsLayout(
        rate_hz=5.0,
        cameras={"base": "observation/image"},
        state=(Part(key="observation/state", axes=_POSE),),
        actions=(
            Part(key="action/world_vector", axes=_POSITION),
            Part(key="action/rotation_delta", axes=_ROTATION),
            Part(key="action/open_gripper", axes=("gripper",)),
        ),
        instruction=("observation/natural_language_instruction",),
    ),
    "fractal": RldsLayout(
        rate_hz=3.0,
        cameras={"ego": "observation/image"},
        state=(
            Part(
                key="observation/base_pose_tool_reached",
                axes=(*_POSITION, "qx", "qy", "qz", "qw"),
            ),
            Part(key="observation/gripper_closed", axes=("gripper",)),
        ),
        actions=(
            Part(key="action/world_vector", axes=_POSITION),
            Part(key="action/rotation_delta", axes=_ROTATION),
            Part(key="action/gripper_closedness_action", axes=("gripper",)),
        ),
        instruction=("observation/natural_language_instruction",),
    ),
}

# The layout by the dataset's own name, as dataset_info.json has it.
DATASETS = {
    "droid": "droid",
    "droid_100": "droid",
    "r2_d2": "droid",
    "bridge_dataset": "bridge",
    "bridge_orig": "bridge",
    "bridge": "bridge-oxe",
    "fractal20220817_data": "fractal",
}


def rlds_layout(name: str) -> RldsLayout:
    """A layout by name or from a TOML file.

    Raises:
        TaktError: an unknown name, which lists the known, or a file that describes no layout.
    """
    if name.endswith(".toml"):
        return _read_layout(Path(name))
    if name not in LAYOUTS:
        raise TaktError(
            f"expected an RLDS layout among {', '.join(LAYOUTS)}, or a .toml file; got {name!r}; "
            "choose one with --layout"
        )
    return LAYOUTS[name]


def layout_name(dataset: str) -> str:
    """The layout of a dataset with that name in dataset_info.json."""
    if dataset not in DATASETS:
        raise TaktError(
            f"expected a known RLDS dataset ({', '.join(DATASETS)}), got {dataset!r}; choose the "
            f"layout that it has with --layout: {', '.join(LAYOUTS)}"
        )
    return DATASETS[dataset]


_FILE = {
    "rate_hz": float | int,
    "cameras": dict[str, str],
    "state": list[dict[str, Any]],
    "actions": list[dict[str, Any]],
    "instruction": list[str],
}


def _read_layout(path: Path) -> RldsLayout:
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TaktError(f"{path}: expected a readable TOML file ({error})") from error
    wrong = [key for key, kind in _FILE.items() if not is_bearable(raw.get(key), kind)]
    wrong += sorted(set(raw) - set(_FILE))
    if wrong or not raw["rate_hz"] > 0 or not raw["cameras"]:
        names = ", ".join(field.name for field in fields(RldsLayout))
        raise TaktError(
            f"{path}: expected the keys {names} as in takt.datasets.rlds_layouts; "
            f"wrong: {', '.join(wrong) or 'rate_hz or cameras'}"
        )
    return RldsLayout(
        rate_hz=float(raw["rate_hz"]),
        cameras=raw["cameras"],
        state=_parts(raw["state"], path),
        actions=_parts(raw["actions"], path),
        instruction=tuple(raw["instruction"]),
    )


def _parts(raw: list[dict[str, Any]], path: Path) -> tuple[Part, ...]:
    for part in raw:
        sound = is_bearable(part.get("key"), str) and is_bearable(part.get("axes"), list[str])
        if not sound or len(part) != 2 or not part["axes"]:
            raise TaktError(f"{path}: expected parts with `key` and names of `axes`, got {part}")
    axes = [axis for part in raw for axis in part["axes"]]
    if not axes or len(set(axes)) != len(axes):
        raise TaktError(f"{path}: expected axes with names of their own, got {axes}")
    return tuple(Part(key=part["key"], axes=tuple(part["axes"])) for part in raw)
