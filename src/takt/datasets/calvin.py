"""Reader of CALVIN: one .npz file per frame, and spans of frames that are an episode each."""

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from takt.datasets.errors import CorruptFileError, EpisodeError, NotADatasetError
from takt.datasets.metadata import read_json
from takt.datasets.schema import Schema
from takt.datasets.source import recorded_schema
from takt.types import Episode

RATE_HZ = 30.0
CAMERAS = {"base": "rgb_static", "wrist": "rgb_gripper"}
# Named as in `takt.embodiments.layouts`: XR-0 was released for the first seven of robot_obs.
STATE_AXES = ("x", "y", "z", "roll", "pitch", "yaw", "gripper")
ACTION_AXES = ("x", "y", "z", "rx", "ry", "rz", "gripper")
EXTRAS = {"robot_obs": 15, "scene_obs": 24, "actions": 7}
_READ_ERRORS = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)

_EXPORT = (
    "import json, numpy as np; a = np.load('auto_lang_ann.npy', allow_pickle=True).item(); "
    "json.dump({'ann': a['language']['ann'], 'indx': [[int(s), int(e)] for s, e in "
    "a['info']['indx']]}, open('auto_lang_ann.json', 'w'))"
)


@dataclass(frozen=True, slots=True)
class Span:
    """Frames `first` to `last`, both included, in which the instruction is carried out."""

    first: int
    last: int
    instruction: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CalvinDataset:
    """Episodes of one split: its labelled spans, or all of its play where nothing is labelled.

    Actions are `rel_actions`, as released policies use them; `actions`, `robot_obs` and
    `scene_obs` come along as extra columns. Depth and touch images are not read.
    """

    root: Path
    spans: tuple[Span, ...]
    schema: Schema

    @classmethod
    def open(cls, root: Path) -> "CalvinDataset":
        """Find the spans in `root`, a folder such as task_D_D/training.

        Labels are read from lang_annotations/auto_lang_ann.json. CALVIN's own auto_lang_ann.npy is
        a pickle: reading it would run whatever is in it, so it is refused with the command that
        exports it, to be run by those who trust the file.

        Raises:
            NotADatasetError: no CALVIN split, or its labels are only there as a pickle.
            CorruptFileError: the spans cannot be read, or none of their frames can.
        """
        root = Path(root)
        spans = _spans(root)
        cameras = _sizes(root, spans)
        schema = recorded_schema("calvin", RATE_HZ, cameras, STATE_AXES, ACTION_AXES, EXTRAS)
        return cls(root=root, spans=spans, schema=schema)

    def __len__(self) -> int:
        """Number of spans."""
        return len(self.spans)

    def path(self, index: int) -> Path:
        """The episode's first frame."""
        return _frame_path(self.root, self.spans[index].first)

    def episode(self, index: int) -> Episode:
        """Read every frame of a span.

        Raises:
            EpisodeError: a frame is missing or damaged; its file is named.
        """
        span = self.spans[index]
        if span.last < span.first:
            raise EpisodeError(
                self.path(index),
                index,
                f"expected frames {span.first} to {span.last}, which are none; correct the labels",
            )
        keys = (*CAMERAS.values(), "rel_actions", *EXTRAS)
        frames = [
            _frame(_frame_path(self.root, number), keys, index, tick)
            for tick, number in enumerate(range(span.first, span.last + 1))
        ]
        columns = {
            key: _stacked([frame[position] for frame in frames], self, index, key)
            for position, key in enumerate(keys)
        }
        stamps = np.arange(len(frames)) / RATE_HZ
        return Episode(
            embodiment="calvin",
            instruction=span.instruction,
            rate_hz=RATE_HZ,
            stamps=stamps,
            images={name: columns[key] for name, key in CAMERAS.items()},
            image_stamps=dict.fromkeys(CAMERAS, stamps),
            state=columns["robot_obs"][:, : len(STATE_AXES)].astype(np.float32),
            actions=columns["rel_actions"].astype(np.float32),
            extras={key: columns[key].astype(np.float32) for key in EXTRAS},
        )


def _spans(root: Path) -> tuple[Span, ...]:
    labels = root / "lang_annotations" / "auto_lang_ann.json"
    pickled, ranges = labels.with_suffix(".npy"), root / "ep_start_end_ids.npy"
    if labels.is_file():
        return _labelled(labels)
    if not ranges.is_file():
        raise NotADatasetError(
            root,
            "expected a CALVIN split with ep_start_end_ids.npy in it, found none; name the folder "
            "`training` or `validation` of a task",
        )
    if pickled.is_file():
        raise NotADatasetError(
            pickled,
            "the labels are a pickle, which could run anything and is not opened here. If you "
            f'trust the file, export them in its folder with: python -c "{_EXPORT}"; or move '
            "lang_annotations away to take the unlabelled play",
        )
    try:
        rows = np.load(ranges)
        return tuple(Span(int(first), int(last), "") for first, last in rows)
    except (OSError, ValueError, TypeError) as error:
        raise CorruptFileError(ranges, f"expected (episode, 2) frame numbers ({error})") from error


def _labelled(path: Path) -> tuple[Span, ...]:
    raw = read_json(path)
    try:
        return tuple(
            Span(int(first), int(last), str(text))
            for (first, last), text in zip(raw["indx"], raw["ann"], strict=True)
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptFileError(
            path, f"expected `indx`, pairs of frames, and as many texts `ann` ({error!r})"
        ) from error


def _frame_path(root: Path, number: int) -> Path:
    return root / f"episode_{number:07d}.npz"


def _frame(path: Path, keys: Sequence[str], episode: int, tick: int) -> list[np.ndarray]:
    """The arrays `keys` of one frame's file."""
    try:
        with np.load(path) as arrays:
            return [arrays[key] for key in keys]
    except _READ_ERRORS as error:
        raise EpisodeError(path, episode, f"not readable ({error})", tick) from error


def _stacked(rows: list[np.ndarray], data: CalvinDataset, index: int, key: str) -> np.ndarray:
    """Rows of one shape, the expected one for images."""
    cameras = {CAMERAS[c.name]: (c.height, c.width, 3) for c in data.schema.spec.cameras}
    shape = cameras.get(key, (EXTRAS.get(key, len(ACTION_AXES)),))
    for tick, row in enumerate(rows):
        if row.shape != shape or (key in cameras and row.dtype != np.uint8):
            path = _frame_path(data.root, data.spans[index].first + tick)
            raise EpisodeError(
                path, index, f"{key}: expected {shape}, got {row.shape} {row.dtype}", tick
            )
    return np.stack(rows)


def _sizes(root: Path, spans: Sequence[Span]) -> dict[str, tuple[int, int]]:
    """Camera sizes of the first episode whose first frame can be read."""
    for index, span in enumerate(spans):
        try:
            arrays = _frame(_frame_path(root, span.first), tuple(CAMERAS.values()), index, 0)
        except EpisodeError:
            continue
        return {
            name: (array.shape[0], array.shape[1])
            for name, array in zip(CAMERAS, arrays, strict=True)
        }
    raise CorruptFileError(root, f"expected frames of {len(spans)} episodes, none can be read")
