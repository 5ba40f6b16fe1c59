"""`takt data stats`: what a policy is normalised by, and what is wrong with it."""

import json as json_format
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from takt.datasets.lerobot import LeRobotDataset
    from takt.datasets.moments import Moments
    from takt.datasets.statistics import EmbodimentStatistics, Statistics


@dataclass(frozen=True)
class Stats:
    """Show statistics of every numeric column, per embodiment over all the datasets.

    Quantiles are exact; only state, action and touch have them. Axes that never move are named,
    and so is an fps that the timestamps contradict.
    """

    directories: Positional[Annotated[tuple[Path, ...], arg(metavar="DIR ...")]]
    """The datasets' folders."""

    horizon: Annotated[int | None, arg(metavar="T")] = None
    """Also by step of a chunk of so many actions, as they are and relative to the state."""

    json: bool = False
    """Print one JSON object instead of tables."""


def run_stats(command: Stats) -> int:
    """Show the statistics; warnings go to stderr."""
    from takt.datasets.lerobot import LeRobotDataset
    from takt.datasets.statistics import embodiment_statistics
    from takt.types import TaktError

    if not command.directories:
        raise TaktError("expected at least one dataset, got none; name its folder")
    datasets = [LeRobotDataset.open(path) for path in command.directories]
    rates = _rates(datasets)
    bodies = embodiment_statistics(datasets)
    found: dict[str, Any] = {}
    for name, body in bodies.items():
        own = [dataset for dataset in datasets if dataset.metadata.embodiment == name]
        extra = _dead(body, own) | {"steps": _steps(own, command.horizon)}
        extra["rates"] = {str(d.metadata.root): rates[str(d.metadata.root)] for d in own}
        found[name] = _body_json(body) | extra
        if command.horizon and found[name]["steps"]["relative"] is None:
            reason = "state and action have other axes"
            print(f"takt data: {name}: no steps relative to the state: {reason}", file=sys.stderr)
        if not command.json:
            _print_body(body, own, found[name]["steps"])
    if command.json:
        print(json_format.dumps(found))
    return 0


def _rates(datasets: "list[LeRobotDataset]") -> dict[str, dict[str, object]]:
    from takt.datasets.rates import measure_rates

    found: dict[str, dict[str, object]] = {}
    for dataset in datasets:
        root, rates = str(dataset.metadata.root), measure_rates(dataset)
        for name in rates.slow_cameras():
            print(
                f"takt data: {root}: camera {name!r} delivers {rates.captures[name]:.4g} Hz into "
                f"rows of {rates.declared:g} Hz: some rows repeat a frame",
                file=sys.stderr,
            )
        found[root] = rates.to_json()
    return found


def _dead(body: "EmbodimentStatistics", own: "list[LeRobotDataset]") -> dict[str, Any]:
    from takt.datasets.dead_axes import dead_axes

    names = _axis_names(own)
    dead = [
        *dead_axes("state", names["state"], body.state),
        *dead_axes("action", names["action"], body.action),
    ]
    for axis in dead:
        print(f"takt data: {body.embodiment}: {axis}", file=sys.stderr)
    return {"dead": [asdict(axis) for axis in dead]}


def _steps(own: "list[LeRobotDataset]", horizon: int | None) -> dict[str, Any] | None:
    from takt.datasets.step_statistics import step_statistics

    if horizon is None:
        return None
    tables = [table for dataset in own for table in dataset.tables()]
    names = _axis_names(own)
    comparable = names["state"] == names["action"] and all(
        table.state.shape == table.actions.shape for table in tables
    )
    absolute = step_statistics(tables, horizon, relative=False)
    relative = step_statistics(tables, horizon, relative=True) if comparable else None
    return {"absolute": absolute.to_json(), "relative": relative and relative.to_json()}


def _axis_names(own: "list[LeRobotDataset]") -> dict[str, tuple[str, ...]]:
    """By column, () where the first dataset names none."""
    features = {feature.key: feature.names for feature in own[0].metadata.features}
    return {
        "state": features.get("observation.state", ()),
        "action": features.get("action", ()),
    }


def _body_json(body: "EmbodimentStatistics") -> dict[str, Any]:
    return {
        "episodes": body.num_episodes,
        "state": body.state.to_json(),
        "action": body.action.to_json(),
        "touch": body.touch and body.touch.to_json(),
        "extras": {name: _moments_json(moments) for name, moments in body.extras.items()},
    }


def _moments_json(moments: "Moments") -> dict[str, Any]:
    from takt.datasets.moments import NAMES

    return {"count": moments.count, **{name: getattr(moments, name).tolist() for name in NAMES}}


def _print_body(
    body: "EmbodimentStatistics", own: "list[LeRobotDataset]", steps: dict[str, Any] | None
) -> None:
    names = _axis_names(own)
    print(f"{body.embodiment}: {body.num_episodes} episodes, {body.state.count} frames")
    print_statistics("state", body.state, names["state"])
    print_statistics("action", body.action, names["action"])
    if body.touch is not None:
        print_statistics("touch", body.touch, ())
    for name, moments in body.extras.items():
        print_statistics(name, moments, ())
    for kind, statistics in (steps or {}).items():
        if statistics is not None:
            _print_steps(kind, statistics, names["action"])


def print_statistics(title: str, statistics: "Statistics | Moments", axes: tuple[str, ...]) -> None:
    """A table with a row for each axis."""
    wanted = ("min", "q01", "q50", "q99", "max", "mean", "std")
    columns = [name for name in wanted if hasattr(statistics, name)]
    rows = [
        [getattr(statistics, column)[axis] for column in columns]
        for axis in range(len(statistics.mean))
    ]
    _print_table(title, columns, rows, axes)


def _print_steps(kind: str, statistics: dict[str, Any], axes: tuple[str, ...]) -> None:
    """First, middle and last step."""
    columns = ["q01", "mean", "q99", "std"]
    last = len(statistics["mean"]) - 1
    for step in sorted({0, last // 2, last}):
        by_axis = zip(*(statistics[name][step] for name in columns), strict=True)
        _print_table(f"action, {kind}, step {step}", columns, [list(row) for row in by_axis], axes)


def _print_table(
    title: str, columns: list[str], rows: list[list[float]], axes: tuple[str, ...]
) -> None:
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    table = Table(Column(title, no_wrap=True), *columns)
    for axis, values in enumerate(rows):
        # Text, not str: an axis may hold what rich takes for markup.
        name = Text(axes[axis] if axis < len(axes) else str(axis))
        table.add_row(name, *(f"{value:.3g}" for value in values))
    Console().print(table)
