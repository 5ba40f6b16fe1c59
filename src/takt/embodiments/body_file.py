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

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from takt.embodiments.driver import Driver
from takt.embodiments.limits import AxisBox, Limits
from takt.embodiments.reference import load_reference
from takt.embodiments.slot_map import EmbodimentFileError, load_embodiment, read_table
from takt.types import EmbodimentSpec


def load_driver(path: Path) -> Driver:
    """The driver that the body's file names, given its spec; not connected.

    Raises:
        EmbodimentFileError: the file is broken, or names no driver, or one that wants other keys.
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
    create = load_reference(factory)
    try:
        return create(spec, **options)
    except TypeError as error:
        raise EmbodimentFileError(f"{path}: driver: {factory} does not take it: {error}") from error


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
