"""What drives a body that is described in a file, and how hard it may be driven.

[driver]
factory = "my_arm:Driver"        # or "my_arm.py:Driver", from where takt is run
port = "/dev/ttyUSB0"            # every other key is an argument of it, after the spec

[limits]                         # all optional; lists have a value for each axis, in order
velocity = [1.5, 1.5, 0.1]       # per second; inf: no limit
acceleration = [8, 8, inf]       # per second squared
force = [5]                      # for each measured touch value; more of it stops the body
workspace = { low = [-1, -1, 0], high = [1, 1, 0.05] }
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from takt.embodiments.driver import Driver
from takt.embodiments.limits import AxisBox, Limits
from takt.embodiments.slot_map import EmbodimentFileError, load_embodiment, read_table
from takt.embodiments.user_code import failures_named, make
from takt.types import EmbodimentSpec, TaktError

DRIVER_PARTS = ("spec", "cameras", "connect", "read", "command", "stop", "close")


def load_driver(path: Path) -> Driver:
    """The driver that the body's file names, given its spec; not connected.

    Raises:
        EmbodimentFileError: the file is broken, names no driver or one that wants other keys, or
            the driver's own code fails.
    """
    spec = load_embodiment(path)
    table: Mapping[str, Any] = read_table(path).get("driver") or {}
    factory = table.get("factory")
    if not isinstance(factory, str):
        raise EmbodimentFileError(
            f"{path} describes a body, not what drives it; add a table [driver] with "
            'factory = "MODULE:NAME", which is called with the spec'
        )
    options = {key: value for key, value in table.items() if key != "factory"}
    try:
        made = make(factory, spec, **options)
        return as_driver(made, factory)
    except TaktError as error:
        raise EmbodimentFileError(f"{path}: driver: {error}") from error


def as_driver(made: object, where: str) -> Driver:
    """`made`, which has all that a driver has.

    Raises:
        TaktError: it has not; the message names what is missing.
    """
    missing = missing_parts(made, DRIVER_PARTS, where)
    if missing:
        raise TaktError(
            f"{where}: expected a driver (takt.embodiments.driver.Driver), got "
            f"{type(made).__name__} without {', '.join(missing)}; see docs/new_body.md"
        )
    require_spec(made, where)
    return made  # pyright: ignore[reportReturnType]


def require_spec(body: object, where: str) -> EmbodimentSpec:
    """The spec of a body.

    Raises:
        TaktError: it is of another kind.
    """
    spec = getattr(body, "spec", None)
    if not isinstance(spec, EmbodimentSpec):
        raise TaktError(
            f"{where}: expected its spec to be a takt.types.EmbodimentSpec, got "
            f"{type(spec).__name__}; keep the spec that it is made with, or write one"
        )
    return spec


def missing_parts(made: object, parts: Sequence[str], where: str) -> list[str]:
    """Those of `parts` that `made` has not; a property may run the user's code."""
    with failures_named(f"looking at {where}"):
        return [part for part in parts if not hasattr(made, part)]


def load_limits(path: Path, spec: EmbodimentSpec) -> Limits:
    """The limits that the body's file names.

    Raises:
        TaktError: they are not lists of numbers, one for each axis.
    """
    table = dict(read_table(path).get("limits") or {})
    where = f"{path}: limits"
    axes = len(spec.action_space.names)
    velocity = _numbers(table.pop("velocity", None), axes, f"{where}: velocity")
    acceleration = _numbers(table.pop("acceleration", None), axes, f"{where}: acceleration")
    force = _numbers(table.pop("force", None), None, f"{where}: force")
    box = table.pop("workspace", None)
    if table:
        raise EmbodimentFileError(
            f"{where}: unknown {sorted(table)}; known: velocity, acceleration, force, workspace"
        )
    workspace = None if box is None else _box(box, axes, f"{where}: workspace")
    return Limits(velocity=velocity, acceleration=acceleration, force=force, workspace=workspace)


def _box(table: object, axes: int, where: str) -> AxisBox:
    if not isinstance(table, dict) or set(table) != {"low", "high"}:
        raise EmbodimentFileError(f"{where}: expected low and high, got {table!r}")
    low, high = (_numbers(table[key], axes, f"{where}: {key}") for key in ("low", "high"))
    assert low is not None
    assert high is not None
    return AxisBox(low=low, high=high)


def _numbers(values: object, count: int | None, where: str) -> np.ndarray | None:
    """float32 (count,); any length where `count` is None."""
    if values is None:
        return None
    numbers = [v for v in values if type(v) in (int, float)] if isinstance(values, list) else []
    if values != numbers or len(numbers) != (count or len(numbers)):
        expected = f"{count} numbers, one for each axis" if count else "a list of numbers"
        raise EmbodimentFileError(f"{where}: expected {expected}, got {values!r}")
    return np.array(numbers, np.float32)
