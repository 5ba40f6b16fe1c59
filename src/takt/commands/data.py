"""`takt data`: look into datasets, and make datasets of others."""

import json as json_format
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import FlagCreatePairsOff, Positional, subcommand

from takt.commands.data_build import (
    Align,
    Convert,
    Merge,
    Split,
    run_align,
    run_convert,
    run_merge,
    run_split,
)
from takt.commands.data_conversations import inspect_conversations, is_conversations
from takt.commands.data_label import Label, run_label
from takt.commands.data_stats import Stats, print_statistics, run_stats
from takt.extras import require_extra

if TYPE_CHECKING:
    from takt.datasets.inspection import Inspection


@dataclass(frozen=True)
class Inspect:
    """Show what a dataset holds and what is wrong with it.

    LeRobot v2.1 or v3.0; or a vision-language set (JSON, JSONL, parquet).
    """

    directory: Positional[Path]
    """The dataset's folder; of a vision-language set also a file."""

    json: bool = False
    """Print one JSON object instead of tables."""

    decode: bool = False
    """Decode every image too; without it, video frames are only looked for."""


Command = (
    Annotated[Inspect, subcommand("inspect")]
    | Annotated[Stats, subcommand("stats")]
    | Annotated[Convert, subcommand("convert")]
    | Annotated[Merge, subcommand("merge")]
    | Annotated[Split, subcommand("split")]
    | Annotated[Align, subcommand("align")]
    | Annotated[Label, subcommand("label")]
)


def main(argv: list[str]) -> int:
    """Run `takt data` with its own arguments.

    Returns:
        0, or 1 when `inspect` found a problem in the dataset.

    Raises:
        TaktError: no dataset there, damaged metadata, or an extra is missing.
    """
    command = tyro.cli(Command, args=argv, prog="takt data", config=(FlagCreatePairsOff,))
    require_extra("data", "takt data")
    match command:
        case Inspect():
            return _inspect(command)
        case Stats():
            return run_stats(command)
        case Convert():
            return run_convert(command)
        case Merge():
            return run_merge(command)
        case Split():
            return run_split(command)
        case Align():
            return run_align(command)
        case Label():
            return run_label(command)


def _inspect(command: Inspect) -> int:
    from takt.datasets.inspection import inspect
    from takt.datasets.lerobot import LeRobotDataset

    if is_conversations(command.directory):
        return inspect_conversations(command.directory, decode=command.decode, as_json=command.json)
    inspection = inspect(LeRobotDataset.open(command.directory), decode=command.decode)
    if command.json:
        print(json_format.dumps(_inspection_json(inspection), ensure_ascii=False))
    else:
        _print_inspection(inspection)
    for problem in inspection.problems:
        print(f"takt data: {problem}", file=sys.stderr)
    return 1 if inspection.problems else 0


def _inspection_json(inspection: "Inspection") -> dict[str, Any]:
    metadata = inspection.dataset.metadata
    statistics = {"state": inspection.state, "action": inspection.action}
    return {
        "directory": str(metadata.root),
        "version": metadata.version,
        "embodiment": metadata.embodiment,
        "fps": metadata.fps,
        "episodes": len(metadata.episodes),
        "frames": metadata.num_frames,
        "cameras": [
            {
                "name": camera.name,
                "height": camera.height,
                "width": camera.width,
                "storage": "video" if camera.is_video else "image",
            }
            for camera in metadata.cameras
        ],
        "features": {
            feature.key: {
                "dtype": feature.dtype,
                "shape": list(feature.shape),
                "names": list(feature.names),
            }
            for feature in metadata.features
        },
        "tasks": [metadata.tasks[index] for index in sorted(metadata.tasks)],
        "lengths": [record.length for record in metadata.episodes],
        "statistics": {name: body and body.to_json() for name, body in statistics.items()},
        "problems": [
            {"kind": type(problem).__name__, "path": str(problem.path), "message": str(problem)}
            for problem in inspection.problems
        ],
    }


def _print_inspection(inspection: "Inspection") -> None:
    import numpy as np
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    metadata = inspection.dataset.metadata
    lengths = np.array([record.length for record in metadata.episodes] or [0])
    seconds = metadata.num_frames / metadata.fps
    grid = Table.grid(padding=(0, 2))
    for name, value in (
        ("dataset", f"{metadata.root} (LeRobot {metadata.version})"),
        ("embodiment", metadata.embodiment),
        ("episodes", f"{len(metadata.episodes)}, {metadata.num_frames} frames, {seconds:.1f} s"),
        ("lengths", f"{lengths.min()} … {lengths.max()} frames, median {np.median(lengths):g}"),
        ("rate", f"{metadata.fps:g} fps"),
        (
            "cameras",
            ", ".join(f"{c.name} {c.height}x{c.width}" for c in metadata.cameras) or "none",
        ),
        ("tasks", "; ".join(metadata.tasks[index] for index in sorted(metadata.tasks))),
        ("columns", ", ".join(f"{f.key} {list(f.shape)}" for f in metadata.features)),
        ("problems", str(len(inspection.problems)) if inspection.problems else "none"),
    ):
        # Text, not str: a task may hold what rich takes for markup.
        grid.add_row(name, Text(value))
    Console().print(grid)
    axes = {feature.key: feature.names for feature in metadata.features}
    if inspection.state is not None and inspection.action is not None:
        print_statistics("state", inspection.state, axes.get("observation.state", ()))
        print_statistics("action", inspection.action, axes.get("action", ()))
