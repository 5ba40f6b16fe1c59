"""Datasets of any known format, by the name of the format or by what lies in their folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from takt.datasets.calvin import CalvinDataset
from takt.datasets.errors import NotADatasetError
from takt.datasets.lerobot_source import LeRobotSource
from takt.datasets.rlds import RldsDataset
from takt.datasets.robomind import RobomindDataset
from takt.datasets.source import EpisodeSource
from takt.extras import require_extra

Format = Literal["lerobot", "rlds", "calvin", "robomind"]

# What only a dataset of the format has in its folder.
_MARKS: dict[Format, tuple[str, ...]] = {
    "lerobot": ("meta/info.json",),
    "rlds": ("features.json", "*/features.json"),
    "calvin": ("ep_start_end_ids.npy", "lang_annotations"),
    "robomind": ("**/*.hdf5",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What some formats leave open; None where it is to be found out.

    Attributes:
        layout: Field map of an RLDS dataset.
        split: Split of an RLDS dataset.
        rate_hz: Recording rate of a RoboMIND dataset.
    """

    layout: str | None = None
    split: str = "train"
    rate_hz: float | None = None


def detect_format(root: Path) -> Format:
    """The format of the dataset in `root`.

    Raises:
        NotADatasetError: none is known.
    """
    for name, marks in _MARKS.items():
        if any(next(root.glob(mark), None) for mark in marks):
            return name
    known = "; ".join(f"{name}: {marks[0]}" for name, marks in _MARKS.items())
    raise NotADatasetError(root, f"expected a dataset ({known}), found none of these")


def open_source(root: Path, name: Format, options: ReadOptions) -> EpisodeSource:
    """Open the dataset in `root`, of the format `name`.

    Raises:
        TaktError: it is none, its metadata is damaged, or an option is missing.
    """
    match name:
        case "lerobot":
            return LeRobotSource.open(root)
        case "rlds":
            return RldsDataset.open(root, options.layout, options.split)
        case "calvin":
            return CalvinDataset.open(root)
        case "robomind":
            require_extra("robomind", "reading RoboMIND")
            return RobomindDataset.open(root, options.rate_hz)
