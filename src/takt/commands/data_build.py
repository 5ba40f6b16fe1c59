"""`takt data convert`, `merge`, `split` and `align`: datasets made of others, as LeRobot v3.0."""

import json as json_format
import sys
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from takt.datasets.source import EpisodeSource

LAYOUT = (
    "Field map of an RLDS source: droid, droid-tool, bridge, bridge-oxe, fractal, or a TOML file "
    "(see takt.datasets.rlds_layouts). By default that of the dataset's name."
)
RULE = (
    "causal: the latest image not after the tick, joints interpolated, as on the robot. nearest: "
    "the nearest image and joint sample, as in the paper; it may look ahead."
)
SKIP_BAD = "Leave out episodes that cannot be read; they are counted and listed at the end."


@dataclass(frozen=True)
class Convert:
    """Write a dataset of another format as LeRobot v3.0; the same command goes on where it ended.

    Video is encoded anew (H.264); columns of text and depth images are left out.
    """

    source: Positional[Annotated[Path, arg(metavar="SRC")]]
    """Folder of the dataset to read."""

    directory: Positional[Annotated[Path, arg(metavar="DIR")]]
    """Folder of the dataset to write."""

    format: Literal["auto", "rlds", "calvin", "robomind", "lerobot"] = "auto"
    """Format of the source; auto looks at what lies there."""

    layout: Annotated[str | None, arg(metavar="NAME|FILE", help=LAYOUT)] = None

    split: str = "train"
    """Split of an RLDS source."""

    rate: Annotated[float | None, arg(metavar="HZ")] = None
    """Ticks per second of a RoboMIND source, which stores none."""

    skip_bad: Annotated[bool, arg(help=SKIP_BAD)] = False

    json: bool = False
    """Print one JSON object as the last line."""


@dataclass(frozen=True)
class Merge:
    """Write all episodes of several LeRobot datasets into a new one, in order.

    Datasets that differ in body, rate, axes, cameras or columns are refused, with what differs side
    by side. Video is encoded anew.
    """

    directories: Positional[Annotated[tuple[Path, ...], arg(metavar="DIR DIR ...")]]
    """Folders of the datasets to merge."""

    out: Path
    """Folder of the dataset to write."""

    skip_bad: Annotated[bool, arg(help=SKIP_BAD)] = False

    json: bool = False
    """Print one JSON object as the last line."""


@dataclass(frozen=True)
class Split:
    """Write a LeRobot dataset as two, by episode: a random share of them, and the rest.

    The same seed gives the same parts. Video is encoded anew.
    """

    directory: Positional[Annotated[Path, arg(metavar="DIR")]]
    """Folder of the dataset to split."""

    out: tuple[Path, Path]
    """Folders of the share and of the rest."""

    share: float = 0.9
    """Share of the episodes in the first part."""

    seed: int = 0
    """Seed of the shuffle."""

    skip_bad: Annotated[bool, arg(help=SKIP_BAD)] = False

    json: bool = False
    """Print one JSON object as the last line."""


@dataclass(frozen=True)
class Align:
    """Write a LeRobot dataset at another rate, its streams aligned by their capture times.

    Actions are interpolated as the joint targets that they are here: a dataset whose actions are
    differences per tick must not be aligned. The skew of every stream is shown. Video is encoded
    anew.
    """

    source: Positional[Annotated[Path, arg(metavar="SRC")]]
    """Folder of the dataset to read."""

    directory: Positional[Annotated[Path, arg(metavar="DIR")]]
    """Folder of the dataset to write."""

    rate: float = 30.0
    """Ticks per second to write."""

    rule: Annotated[Literal["causal", "nearest"], arg(help=RULE)] = "causal"

    skip_bad: Annotated[bool, arg(help=SKIP_BAD)] = False

    json: bool = False
    """Print one JSON object as the last line."""


def run_convert(command: Convert) -> int:
    """Convert, and say what was left out."""
    from takt.datasets.formats import ReadOptions, detect_format, open_source

    source_format = command.format if command.format != "auto" else detect_format(command.source)
    options = ReadOptions(layout=command.layout, split=command.split, rate_hz=command.rate)
    source = open_source(command.source, source_format, options)
    origin = f"{source_format} {command.source.resolve()} {command.layout or ''} {command.split}"
    return _write([(source, command.directory, origin)], command)


def run_merge(command: Merge) -> int:
    """Merge the datasets, or show how they differ."""
    from takt.datasets.lerobot_source import LeRobotSource
    from takt.datasets.merging import merged

    if len(command.directories) < 2:
        from takt.types import TaktError

        raise TaktError(f"expected at least two datasets, got {len(command.directories)}")
    names = [str(path) for path in command.directories]
    parts = [LeRobotSource.open(path) for path in command.directories]
    source = merged(names, parts)
    # Of a part that has grown, the episodes behind it have other places.
    listed = [f"{path.resolve()} ({len(part)} episodes)"
              for path, part in zip(command.directories, parts, strict=True)]  # fmt: skip
    origin = f"merge of {', '.join(listed)}"
    return _write([(source, command.out, origin)], command)


def run_split(command: Split) -> int:
    """Write both parts."""
    from takt.datasets.lerobot_source import LeRobotSource
    from takt.datasets.merging import Chosen, split_episodes

    if command.out[0].resolve() == command.out[1].resolve():
        from takt.types import TaktError

        raise TaktError(f"expected two folders after --out, got {command.out[0]} twice")
    source = LeRobotSource.open(command.directory)
    parts = split_episodes(len(source), command.share, command.seed)
    shuffled = f"{len(source)} episodes, share {command.share:g}, seed {command.seed}"
    origin = f"{command.directory.resolve()}, {shuffled}"
    targets: list[tuple[EpisodeSource, Path, str]] = [
        (Chosen(source=source, indices=indices), folder, f"{part} of {origin}")
        for part, indices, folder in zip(("share", "rest"), parts, command.out, strict=True)
    ]
    return _write(targets, command)


def run_align(command: Align) -> int:
    """Resample, and show how far the samples lie from the ticks."""
    from takt.datasets.conversion import require_own
    from takt.datasets.lerobot_source import LeRobotSource
    from takt.datasets.resampling import Resampled, measure_skews

    require_own(command.directory)
    source = LeRobotSource.open(command.source)
    resampled = Resampled(source=source, rate_hz=command.rate, rule=command.rule)
    skews = measure_skews(source, command.rate, command.rule)
    for name, skew in skews.items():
        print(f"{name}: skew {1e3 * skew.mean_s:.1f} ms mean, {1e3 * skew.max_s:.1f} ms at most")
    origin = f"{command.source.resolve()} at {command.rate:g} Hz, {command.rule}"
    report = {"skew": {name: asdict(skew) for name, skew in skews.items()}}
    return _write([(resampled, command.directory, origin)], command, report)


def _write(
    targets: "list[tuple[EpisodeSource, Path, str]]",
    command: Convert | Merge | Split | Align,
    report: dict[str, Any] | None = None,
) -> int:
    """Write each source into its folder; `report` is more for the JSON object."""
    from takt.datasets.conversion import convert
    from takt.recipes.progress import Progress

    written: list[dict[str, Any]] = []
    for source, folder, origin in targets:
        try:
            with Progress(sys.stderr) as progress:
                show = partial(progress.show, str(folder), len(source))
                result = convert(source, folder, origin, skip_bad=command.skip_bad, report=show)
        except KeyboardInterrupt:
            print(
                f"takt data: interrupted; finished episodes are kept in {folder}. "
                "Run the same command again to go on.",
                file=sys.stderr,
            )
            return 130
        print(f"{folder}: {result.episodes} episodes written, {len(result.faults)} left out")
        for fault in result.faults:
            print(f"takt data: left out: {fault}", file=sys.stderr)
        if result.faults:
            print(
                "takt data: what was left out is not read again; once it is mended, write into a "
                "new folder",
                file=sys.stderr,
            )
        faults = [asdict(fault) for fault in result.faults]
        written.append({"directory": str(folder), "episodes": result.episodes, "faults": faults})
    if command.json:
        print(json_format.dumps({"written": written, **(report or {})}, ensure_ascii=False))
    return 0
