"""A body's file drafted from what a dataset says about its body; every guess is marked.

The file is for its reader to correct: `slot_map.py` explains its keys.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from takt.embodiments.layouts import Layout, released_layout
from takt.types import TaktError

POLICY_COLUMNS = 32  # of every released checkpoint's action and state vectors
_MARGIN = 0.1  # of the recorded range, added to both sides as bounds
_LARGEST_RAD = 7.0  # joints that go further are recorded in degrees
_FOLLOWING = 0.5  # of the state's deviation: closer actions are targets for the same axes

_GRIPPER = {"gripper", "grip", "jaw", "finger", "hand"}
_WRIST = {"wrist", "hand", "gripper", "eih"}
_TOOL = {"x": "x", "y": "y", "z": "z", "roll": "rx", "pitch": "ry", "yaw": "rz"}
_TOOL |= {"rx": "rx", "ry": "ry", "rz": "rz", "gripper": "gripper"}
_SEVENTH_JOINT = {"left": 13, "right": 27}  # free columns beside each arm of the bimanual layout


class DraftError(TaktError):
    """A dataset of which no body can be guessed; says what to write instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What a dataset says about its body.

    Attributes:
        name: Of the body.
        rate_hz: Ticks per second.
        instruction: Its first task.
        cameras: (height, width) in pixels by name.
        state: Names of the measured axes.
        actions: Names of the commanded axes.
        low: (A,) smallest recorded action.
        high: (A,) largest recorded action.
        offset: Mean |action - state| over the state's deviation; None on different axes.
    """

    name: str
    rate_hz: float
    instruction: str
    cameras: Mapping[str, tuple[int, int]]
    state: tuple[str, ...]
    actions: tuple[str, ...]
    low: np.ndarray
    high: np.ndarray
    offset: float | None


@dataclass(frozen=True, slots=True)
class _Mapped:
    """Slots of the chosen axes, by position in the dataset, and how they came about."""

    layout: str | None
    actions: dict[int, int | str]
    state: dict[int, int | str]
    why: str


def draft_body(recording: Recording, layout: str | None = None) -> str:
    """The text of a body's TOML file.

    Args:
        recording: The dataset.
        layout: A name of `layouts.py` that the data is known to have; guessed from names if None.

    Raises:
        DraftError: There is no camera or no action, more axes than columns, or the data does not
            have the layout.
    """
    if not recording.cameras or not recording.actions or not recording.state:
        found = f"{len(recording.cameras)} cameras, {len(recording.actions)} action axes"
        raise DraftError(
            f"expected at least one camera, an action and a state among the features, got {found} "
            f"and {len(recording.state)} state axes; XR-0 acts on images and a measured state: "
            "record them (features observation.images.NAME, observation.state, action)"
        )
    if max(len(recording.actions), len(recording.state)) > POLICY_COLUMNS and layout is None:
        raise DraftError(
            f"expected at most {POLICY_COLUMNS} axes, the policy's columns, got "
            f"{len(recording.actions)} action and {len(recording.state)} state axes; write a body "
            "file with those that matter, named as in the dataset, and pass it with --body "
            "(examples/desk_arm.toml shows one)"
        )
    mapped = _known(recording, layout) if layout else _guessed(recording)
    views = _views(tuple(recording.cameras), mapped.layout, exact=layout is not None)
    return _text(recording, mapped, views)


def _known(recording: Recording, name: str) -> _Mapped:
    """The layout's columns by the axes' names, or by position, which its own data has."""
    layout = released_layout(name)
    actions = _placed(recording.actions, layout.actions, f"action axes of layout {name!r}")
    state = _placed(recording.state, layout.states, f"state axes of layout {name!r}")
    return _Mapped(name, actions, state, f"asked for; its columns are {_listed(layout)}")


def _placed(axes: tuple[str, ...], columns: Mapping[str, int], what: str) -> dict[int, int | str]:
    if set(columns) <= set(axes):
        return {axes.index(name): name for name in columns}
    if len(axes) <= max(columns.values()):
        raise DraftError(
            f"expected {max(columns.values()) + 1} {what} ({', '.join(columns)}), got {len(axes)}: "
            f"{', '.join(axes)}; convert the data, or describe the body in a file for --body"
        )
    return {column: name for name, column in columns.items()}


def _guessed(recording: Recording) -> _Mapped:
    tool = _tool_slots(recording.actions)
    if tool is not None:
        state: dict[int, int | str] = {i: i for i in range(len(recording.state))}
        return _Mapped("libero", tool, state, "guess: axes named like a tool's pose")
    arms, measured = _arm_slots(recording.actions), _arm_slots(recording.state)
    if arms is not None and measured is not None:
        return _Mapped("bimanual", arms, measured, "guess: axes named or counted like arms")
    return _Mapped(
        None,
        {i: i for i in range(len(recording.actions))},
        {i: i for i in range(len(recording.state))},
        "",
    )


def _tool_slots(axes: tuple[str, ...]) -> dict[int, int | str] | None:
    """Columns of a tool's pose and gripper; None where an axis is something else."""
    found = [_TOOL.get("_".join(_words(name)).removeprefix("delta_")) for name in axes]
    if None in found or not {"x", "y", "z"} <= set(found) or len(set(found)) < len(found):
        return None
    return {i: name for i, name in enumerate(found) if name is not None}


def _arm_slots(axes: tuple[str, ...]) -> dict[int, int | str] | None:
    """Columns of one or two arms; None for more than seven joints or one gripper an arm."""
    slots: dict[int, int | str] = {}
    used = {"left": 0, "right": 0}
    both = any("left" in _words(name) for name in axes)
    for position, name in enumerate(axes):
        words = _words(name)
        side = "right" if both and "right" in words else "left"
        if _GRIPPER & set(words):
            slot: int | str = f"{side}_gripper"
        else:
            used[side] += 1
            slot = f"{side}_joint_{used[side]}" if used[side] < 7 else _SEVENTH_JOINT[side]
        if slot in slots.values():
            return None
        slots[position] = slot
    return slots


def _views(cameras: tuple[str, ...], layout: str | None, *, exact: bool) -> dict[str, str]:
    """Prompt title by camera, in prompt order: scene cameras first; `exact` keeps no others."""
    known = list(released_layout(layout).views if layout else ("Ego View",))
    wrist = [name for name in cameras if _WRIST & set(_words(name))]
    ordered = [*(name for name in cameras if name not in wrist), *wrist]
    if exact:
        return dict(zip(ordered, known, strict=False))
    views: dict[str, str] = {}
    for name in ordered:
        if name in wrist:
            first = "Right-Wrist View" if "right" in _words(name) else "Left-Wrist View"
            wanted = [first, "Left-Wrist View", "Right-Wrist View"]
        else:
            wanted = known[:1]
        own = f"{' '.join(_words(name)).title()} View"
        free = [view for view in (*wanted, own, f"{name} View") if view not in views.values()]
        views[name] = free[0]
    return views


def _text(recording: Recording, mapped: _Mapped, views: Mapping[str, str]) -> str:
    shared = recording.state == recording.actions and mapped.state == mapped.actions
    follows = shared and recording.offset is not None and recording.offset < _FOLLOWING
    lines = [
        "# Drafted from a dataset by takt train. Look at every guess, correct it, run again.",
        "# takt/embodiments/slot_map.py explains the keys.",
        f"name = {_quoted(recording.name)}",
        f"rate_hz = {recording.rate_hz!r}",
        f"instruction = {_quoted(recording.instruction)}  # where the data names no task",
    ]
    if mapped.layout:
        lines.append(f"layout = {_quoted(mapped.layout)}  # {mapped.why}")
    else:
        lines.append("# No released layout fits the names: columns count up.")
    lines += [
        "",
        "# Guess: units; low and high are the recorded range and a tenth more. Actions are clipped",
        "# to them: set the body's own limits. An axis that is left out is not trained.",
        f"# Guess: {_RELATIVE[follows]}",
        "axes = [",
        *(_axis(recording, i, slot, follows) for i, slot in mapped.actions.items()),
        "]",
    ]
    if not shared:
        rows = [f"  {{ name = {_quoted(recording.state[i])}, slot = {_slot(slot)} }},"
                for i, slot in mapped.state.items()]  # fmt: skip
        lines += ["", "# Measured axes, which are not those that are commanded.", "state = ["]
        lines += [*rows, "]"]
    lines += ["", "# Guess: views are the cameras' titles in the prompt.", "cameras = ["]
    for name, view in views.items():
        height, width = recording.cameras[name]
        lines.append(
            f"  {{ name = {_quoted(name)}, view = {_quoted(view)}, height = {height}, "
            f"width = {width} }},"
        )
    return "\n".join([*lines, "]", ""])


_RELATIVE = {
    True: "actions lie near the state, so joints are predicted relative to it.",
    False: "actions are taken as they are recorded, not relative to the state.",
}


def _axis(recording: Recording, position: int, slot: int | str, follows: bool) -> str:
    name = recording.actions[position]
    low, high = float(recording.low[position]), float(recording.high[position])
    margin = _MARGIN * (high - low) or 1e-3
    digits = 1 - math.floor(math.log10(margin))  # rounding takes no more than a tenth of it
    gripper = bool(_GRIPPER & set(_words(name)))
    relative = "true" if follows and not gripper else "false"
    if gripper or slot in ("x", "y", "z"):
        unit = "" if gripper else "m"
    else:
        unit = "deg" if max(abs(low), abs(high)) > _LARGEST_RAD else "rad"
    return (
        f"  {{ name = {_quoted(name)}, unit = {_quoted(unit)}, "
        f"low = {round(low - margin, digits)!r}, high = {round(high + margin, digits)!r}, "
        f"slot = {_slot(slot)}, relative = {relative} }},"
    )


def _words(name: str) -> Sequence[str]:
    return re.findall(r"[a-z]+|\d+", name.lower().removesuffix(".pos"))


def _listed(layout: Layout) -> str:
    return ", ".join(layout.actions)


def _slot(slot: int | str) -> str:
    return _quoted(slot) if isinstance(slot, str) else str(slot)


def _quoted(text: str) -> str:
    """A TOML string: JSON's escapes are TOML's."""
    return json.dumps(text, ensure_ascii=False)
