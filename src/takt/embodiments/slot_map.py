"""A body described in a TOML or JSON file: its axes, their policy columns, its cameras.

    name = "desk-arm"                # statistics of a checkpoint are looked up under this name
    rate_hz = 20
    instruction = "Put the cup on the shelf."
    layout = "bimanual"              # optional; then a slot may be a name of `layouts.py`
    axes = [
      { name = "shoulder", unit = "rad", low = -2.9, high = 2.9, slot = "left_joint_1" },
      { name = "gripper", unit = "m", low = 0, high = 0.08, slot = 6, relative = false },
    ]
    cameras = [{ name = "front", view = "Ego View", height = 240, width = 320 }]

`relative` defaults to the layout's rule, without a layout to false. A body that is measured on
other axes than it is commanded on lists them: `state = [{ name = "x", slot = 0 }]`.
The tables `[driver]` and `[limits]` say what drives it and how hard: see `body_file.py`.
"""

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import numpy as np
from beartype.door import is_bearable

from takt.embodiments.layouts import Layout, released_layout
from takt.types import ActionSpace, CameraSpec, EmbodimentSpec, StateSpace, TaktError

SUFFIXES = (".toml", ".json")


class EmbodimentFileError(TaktError):
    """A body's file that cannot be read, or does not describe a body; says where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axis:
    name: str
    unit: str
    low: float | int
    high: float | int
    slot: int | str
    relative: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _StateAxis:
    name: str
    slot: int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Body:
    name: str
    rate_hz: float | int
    instruction: str
    axes: list[Any]
    cameras: list[Any]
    layout: str | None = None
    state: list[Any] | None = None
    driver: dict[str, Any] | None = None
    limits: dict[str, Any] | None = None


_Table = TypeVar("_Table")


def load_embodiment(path: str | Path) -> EmbodimentSpec:
    """Read the slot map in `path`.

    Raises:
        EmbodimentFileError: The file is missing or broken, or a key in it is; the message names it.
    """
    path = Path(path)
    body = _table(_Body, read_table(path), f"{path}")
    layout = released_layout(body.layout) if body.layout else None
    axes = _tables(_Axis, body.axes, f"{path}: axes")
    cameras = _tables(CameraSpec, body.cameras, f"{path}: cameras")
    _require_ranges(body, axes, cameras, path)
    relative = layout is not None and layout.relative
    return EmbodimentSpec(
        name=body.name,
        rate_hz=float(body.rate_hz),
        cameras=cameras,
        action_space=ActionSpace(
            names=tuple(axis.name for axis in axes),
            units=tuple(axis.unit for axis in axes),
            low=np.array([axis.low for axis in axes], np.float32),
            high=np.array([axis.high for axis in axes], np.float32),
        ),
        slots=_columns(axes, layout and layout.actions, f"{path}: axes"),
        relative=tuple(relative if axis.relative is None else axis.relative for axis in axes),
        instruction=body.instruction,
        state_space=_state_space(body, layout, path),
    )


def _require_ranges(
    body: _Body, axes: Sequence[_Axis], cameras: Sequence[CameraSpec], path: Path
) -> None:
    if not 0 < body.rate_hz < math.inf:
        raise EmbodimentFileError(
            f"{path}: rate_hz: expected a finite number of more than 0, got {body.rate_hz}"
        )
    for axis in axes:
        if not axis.low < axis.high:
            raise EmbodimentFileError(
                f"{path}: axis {axis.name!r}: expected low < high, got {axis.low} and {axis.high}"
            )
    for camera in cameras:
        if camera.height < 1 or camera.width < 1:
            raise EmbodimentFileError(f"{path}: camera {camera.name!r}: expected a size in pixels")
        _require_line(camera.view, f"{path}: camera {camera.name!r}: view")
    _require_line(body.name, f"{path}: name")


def _require_line(text: str, where: str) -> None:
    """Names and views stand in prompts and tables."""
    if not text.strip() or not text.isprintable():
        raise EmbodimentFileError(f"{where}: expected text on one line, got {text!r}")


def _state_space(body: _Body, layout: Layout | None, path: Path) -> StateSpace | None:
    if body.state is None:
        return None
    axes = _tables(_StateAxis, body.state, f"{path}: state")
    return StateSpace(
        names=tuple(axis.name for axis in axes),
        slots=_columns(axes, layout and layout.states, f"{path}: state"),
    )


def _columns(
    axes: Sequence[_Axis] | Sequence[_StateAxis], named: Mapping[str, int] | None, where: str
) -> tuple[int, ...]:
    """Distinct policy columns of `axes`, whose slots are columns or names in `named`."""
    columns: list[int] = []
    for axis in axes:
        column = (named or {}).get(axis.slot) if isinstance(axis.slot, str) else axis.slot
        if column is None:
            known = f"one of {', '.join(named)}" if named else "a column (names need a layout)"
            raise EmbodimentFileError(f"{where}: {axis.name}: expected {known}, got {axis.slot!r}")
        if column < 0 or column in columns:
            raise EmbodimentFileError(
                f"{where}: {axis.name}: expected a column of its own from 0 on, got {column}"
            )
        columns.append(column)
    return tuple(columns)


def read_table(path: Path) -> dict[str, Any]:
    """The keys of a TOML or JSON file; an `EmbodimentFileError` where there are none."""
    if path.suffix not in SUFFIXES:
        raise EmbodimentFileError(f"{path}: expected a file that ends in {' or '.join(SUFFIXES)}")
    if not path.exists():
        raise EmbodimentFileError(f"{path}: there is no such file")
    try:
        text = path.read_text()
        data = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError) as error:
        raise EmbodimentFileError(
            f"{path} is no readable {path.suffix[1:]} file: {error}"
        ) from error
    if not isinstance(data, dict):
        raise EmbodimentFileError(f"{path}: expected a table of keys, got a {type(data).__name__}")
    return data


def _tables(kind: type[_Table], rows: list[Any], where: str) -> tuple[_Table, ...]:
    """At least one row, each a table with a name of its own."""
    if strangers := [row for row in rows if not isinstance(row, dict)]:
        raise EmbodimentFileError(f"{where}: expected tables of keys, got {strangers[0]!r}")
    names = [row.get("name") for row in rows]
    if not rows or len({str(name) for name in names}) != len(names):
        raise EmbodimentFileError(f"{where}: expected distinct names, at least one; got {names}")
    tables = tuple(_table(kind, row, f"{where}: {row.get('name')}") for row in rows)
    for row in rows:
        _require_line(row["name"], f"{where}: name")
    return tables


def _table(kind: type[_Table], row: dict[str, Any], where: str) -> _Table:
    """`kind` from a table that has all its keys, no others, and values of its types."""
    hints = get_type_hints(kind)
    required = {field.name for field in fields(kind) if field.default is MISSING}  # pyright: ignore[reportArgumentType]
    unknown, missing = sorted(row.keys() - hints.keys()), sorted(required - row.keys())
    if unknown or missing:
        raise EmbodimentFileError(
            f"{where}: missing {missing or 'nothing'}, unknown {unknown or 'nothing'}; "
            f"known keys: {', '.join(hints)}"
        )
    for key, value in row.items():
        is_flag = isinstance(value, bool) and bool not in get_args(hints[key])
        if is_flag or not is_bearable(value, hints[key]):  # True is an int to Python
            expected = str(getattr(hints[key], "__name__", hints[key]))
            raise EmbodimentFileError(f"{where}: {key}: expected {expected}, got {value!r}")
    return kind(**row)
