"""What a LeRobot dataset says about itself, in one form for v2.1 and v3.0."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from takt.datasets.errors import (
    CorruptFileError,
    NotADatasetError,
    UnknownVersionError,
)

VERSIONS = ("v2.1", "v3.0")
STATE = "observation.state"
ACTION = "action"
TOUCH = "observation.touch"
IMAGES = "observation.images."
# Capture time of a camera's frame, in seconds from the episode's start. Not under "observation.":
# lerobot takes every numeric feature there for part of the state.
CAPTURE = "capture_timestamp."
_REQUIRED = ("features", "fps", "chunks_size", "data_path")
_NUMERIC = ("float", "int", "uint", "bool")  # how a column's dtype begins
BOOKKEEPING = ("timestamp", "frame_index", "episode_index", "index", "task_index")


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One column of the dataset. `names` are its axes, () where the dataset names none."""

    key: str
    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...]

    @property
    def axes(self) -> tuple[str, ...]:
        """Distinct names of the axes; counted where the dataset names none, or one twice."""
        width = self.width or 0
        if len(set(self.names)) == len(self.names) == width:
            return self.names
        return tuple(f"axis_{number}" for number in range(width))

    @property
    def is_image(self) -> bool:
        """Whether the column is a camera, as PNG in parquet or as video."""
        return self.dtype in ("image", "video")

    @property
    def width(self) -> int | None:
        """Numbers per row; None for columns that are no vector of numbers, such as language."""
        if not self.dtype.startswith(_NUMERIC) or len(self.shape) > 1:
            return None
        return self.shape[0] if self.shape else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """One camera: `name` as in `Episode.images`, `key` its feature; sizes in pixels."""

    name: str
    key: str
    height: int
    width: int
    is_video: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoSpan:
    """Where an episode lies in a video file: its first frame is shown at `start_s`."""

    path: Path
    start_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeRecord:
    """Where one episode lies: its parquet file, its first global row, and a span per video camera.

    `tasks` is what the metadata lists, in no order; a frame's own task is in its row.
    """

    index: int
    length: int
    tasks: tuple[str, ...]
    data_path: Path
    first_row: int
    videos: Mapping[str, VideoSpan]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetMetadata:
    """Everything known before an episode is read. `tasks[task_index]` is the instruction's text.

    `total_episodes` is the count in info.json, which may lag behind `episodes`.
    """

    root: Path
    version: str
    embodiment: str
    fps: float
    cameras: tuple[Camera, ...]
    features: tuple[Feature, ...]
    tasks: Mapping[int, str]
    episodes: tuple[EpisodeRecord, ...]
    total_episodes: int

    @property
    def num_frames(self) -> int:
        """Rows of all episodes."""
        return sum(record.length for record in self.episodes)

    def check_complete(self) -> None:
        """Every episode that was ever finished is listed, and their rows follow on one another.

        Raises:
            CorruptFileError: the first that is not.
        """
        path, first_row = self.root / "meta", 0
        for position, record in enumerate(self.episodes):
            if (record.index, record.first_row) != (position, first_row):
                raise CorruptFileError(
                    path,
                    f"expected episode {position} from row {first_row} on, got episode "
                    f"{record.index} from row {record.first_row} on: the metadata of an episode "
                    "is lost; copy it again",
                )
            first_row += record.length
        if len(self.episodes) < self.total_episodes:
            raise CorruptFileError(
                path,
                f"expected {self.total_episodes} episodes (info.json), got {len(self.episodes)}: "
                "the metadata of the last is lost; copy it again",
            )

    def feature(self, key: str) -> Feature | None:
        """The feature of that key, None where the dataset has no such column."""
        return next((feature for feature in self.features if feature.key == key), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """`meta/info.json`, checked. Its totals may lag behind: the episode files are the truth."""

    root: Path
    version: str
    embodiment: str
    fps: float
    total_episodes: int
    chunks_size: int
    data_path: str
    video_path: str
    features: tuple[Feature, ...]
    cameras: tuple[Camera, ...]

    @property
    def path(self) -> Path:
        """The file itself."""
        return self.root / "meta" / "info.json"

    @property
    def video_cameras(self) -> tuple[Camera, ...]:
        """The cameras kept as video."""
        return tuple(camera for camera in self.cameras if camera.is_video)

    def file(self, template: str, **numbers: int | str) -> Path:
        """Fill a path template of info.json."""
        try:
            return self.root / template.format(**numbers)
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise CorruptFileError(
                self.path,
                f"path template {template!r}: expected the fields {sorted(numbers)} ({error}); "
                "copy it again",
            ) from error


def read_info(root: Path) -> Info:
    """Read and check `meta/info.json`.

    Raises:
        NotADatasetError: there is none.
        UnknownVersionError: another format version than v2.1 or v3.0.
        CorruptFileError: it is no JSON, or a field is missing or has the wrong type.
    """
    path = root / "meta" / "info.json"
    if not path.is_file():
        raise NotADatasetError(
            root, "expected a LeRobot dataset, found no meta/info.json in it; name its own folder"
        )
    raw = read_json(path)
    _require_fields(raw, path)
    try:
        features = tuple(_feature(key, value) for key, value in raw["features"].items())
        info = Info(
            root=root,
            version=raw["codebase_version"],
            embodiment=str(raw.get("robot_type") or "unknown"),
            fps=float(raw["fps"]),
            total_episodes=int(raw.get("total_episodes") or 0),
            chunks_size=int(raw["chunks_size"]),
            data_path=str(raw["data_path"]),
            video_path=str(raw.get("video_path") or ""),
            features=features,
            cameras=tuple(_camera(feature) for feature in features if feature.is_image),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptFileError(
            path,
            "expected features with dtype and shape, numbers and path templates, got a field that "
            f"is none of these ({error!r}); copy it again",
        ) from error
    if not (0 < info.fps < math.inf and info.chunks_size > 0):
        raise CorruptFileError(
            path,
            f"expected fps and chunks_size above 0, got {info.fps:g} and {info.chunks_size}; "
            "copy it again",
        )
    return info


def _require_fields(raw: Mapping[str, Any], path: Path) -> None:
    version = raw.get("codebase_version")
    if version not in VERSIONS:
        raise UnknownVersionError(
            path,
            f"expected format {' or '.join(VERSIONS)}, got {version!r}; convert it with lerobot",
        )
    if missing := [key for key in _REQUIRED if raw.get(key) is None]:
        raise CorruptFileError(
            path, f"expected the fields {', '.join(_REQUIRED)}, got no {missing[0]}; copy it again"
        )


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; CorruptFileError where it is none."""
    try:
        raw = json.loads(path.read_bytes())
    except (ValueError, OSError) as error:
        raise CorruptFileError(
            path, f"not readable as JSON ({error}); copy the file again"
        ) from error
    if not isinstance(raw, dict):
        raise CorruptFileError(
            path, f"expected a JSON object, got {type(raw).__name__}; copy it again"
        )
    return raw


def _feature(key: str, raw: dict[str, Any]) -> Feature:
    return Feature(
        key=key,
        dtype=str(raw["dtype"]),
        shape=tuple(int(size) for size in raw["shape"]),
        names=_axis_names(raw.get("names")),
    )


def _axis_names(raw: object) -> tuple[str, ...]:
    """Axis names come as a list, or as {"motors": [...]}."""
    match raw:
        case dict():
            return tuple(name for names in raw.values() for name in _axis_names(names))
        case list():
            return tuple(str(name) for name in raw)
        case _:
            return ()


def _camera(feature: Feature) -> Camera:
    """Sizes are ordered by `names`: (height, width, channels) or channels first."""
    order = [name.rstrip("s") for name in feature.names] or ["height", "width", "channel"]
    size = dict(zip(order, feature.shape, strict=True))
    return Camera(
        name=feature.key.removeprefix(IMAGES).removeprefix("observation."),
        key=feature.key,
        height=size["height"],
        width=size["width"],
        is_video=feature.dtype == "video",
    )
