"""Reader of RoboMIND: one HDF5 file per episode; the format's `master` leads, its `puppet` moves.

puppet/joint_position, or _left and _right    measured joints
master/joint_position, or _left and _right    commanded joints
observations/rgb_images/CAMERA                 image files, or (tick, height, width, 3)
language_raw                                   the instruction
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from takt.datasets.encoded_image import decode_frames, decode_image
from takt.datasets.errors import CorruptFileError, DatasetError, EpisodeError, NotADatasetError
from takt.datasets.schema import Schema
from takt.datasets.source import recorded_schema
from takt.types import Episode, TaktError

Arrays = Mapping[str, np.ndarray]
"""A file's datasets by path; image files are one array of bytes objects or of uint8 arrays."""

_IMAGES = "observations/rgb_images/"
_JOINTS = ("joint_position", "joint_position_left", "joint_position_right")


def read_hdf5(path: Path) -> Arrays:
    """The datasets that the format names, in memory.

    Raises:
        CorruptFileError: it is no readable HDF5 file.
    """
    import h5py  # pyright: ignore[reportMissingImports]

    found: dict[str, np.ndarray] = {}

    def keep(name: str, item: object) -> None:
        wanted = name.startswith(_IMAGES) or name.split("/")[-1] in (*_JOINTS, "language_raw")
        if wanted and isinstance(item, h5py.Dataset):
            found[name] = np.asarray(item)

    try:
        with h5py.File(path, "r") as file:
            file.visititems(keep)
    except (OSError, RuntimeError) as error:
        raise CorruptFileError(path, f"not readable as HDF5 ({error}); copy it again") from error
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RobomindDataset:
    """Episodes of one robot: every HDF5 file in a folder, in order of their paths.

    The files hold no times, so the rate comes from the user. Depth images are not read.
    """

    schema: Schema
    files: tuple[Path, ...]
    read: Callable[[Path], Arrays]

    @classmethod
    def open(
        cls, root: Path, rate_hz: float | None, read: Callable[[Path], Arrays] = read_hdf5
    ) -> "RobomindDataset":
        """Find the files in `root`, such as h5_franka_3rgb; the first readable one sets the axes.

        Args:
            root: The folder of one robot.
            rate_hz: Ticks per second.
            read: Gives a file's arrays.

        Raises:
            TaktError: no rate.
            NotADatasetError: no HDF5 file.
            DatasetError: none of them is a sound episode.
        """
        root = Path(root)
        if rate_hz is None:
            raise TaktError(
                f"{root}: expected the recording rate, RoboMIND stores none; add --rate"
            )
        files = tuple(sorted(root.rglob("*.hdf5")))
        if not files:
            raise NotADatasetError(root, "expected RoboMIND's .hdf5 files, found none")
        return cls(schema=_schema(root, files, rate_hz, read), files=files, read=read)

    def __len__(self) -> int:
        """Number of files."""
        return len(self.files)

    def path(self, index: int) -> Path:
        """The episode's file."""
        return self.files[index]

    def episode(self, index: int) -> Episode:
        """Read one file.

        Raises:
            EpisodeError: it is damaged, or its streams differ in length.
        """
        path, spec = self.files[index], self.schema.spec
        try:
            arrays = self.read(path)
        except DatasetError as error:
            raise EpisodeError.of(error, index) from error
        state, actions = (_joints(arrays, who, path, index) for who in ("puppet", "master"))
        stamps = np.arange(len(actions)) / spec.rate_hz
        images = {
            name.removeprefix(_IMAGES): _frames(name, rows, path, index)
            for name, rows in arrays.items()
            if name.startswith(_IMAGES)
        }
        for name, rows in {"puppet": state, **images}.items():
            if len(rows) != len(actions):
                raise EpisodeError(
                    path, index, f"{name}: expected {len(actions)} ticks, got {len(rows)}"
                )
        return Episode(
            embodiment=spec.name,
            instruction=_instruction(arrays, path),
            rate_hz=spec.rate_hz,
            stamps=stamps,
            images=images,
            image_stamps=dict.fromkeys(images, stamps),
            state=state,
            actions=actions,
        )


def _schema(
    root: Path, files: tuple[Path, ...], rate_hz: float, read: Callable[[Path], Arrays]
) -> Schema:
    failure: DatasetError = CorruptFileError(root, "no file")
    for index, path in enumerate(files):
        try:
            arrays = read(path)
            axes = {who: _axes(arrays, who, path, index) for who in ("puppet", "master")}
            cameras = {
                name.removeprefix(_IMAGES): _frames(name, rows[:1], path, index).shape[1:3]
                for name, rows in arrays.items()
                if name.startswith(_IMAGES)
            }
        except DatasetError as error:
            failure = error
            continue
        return recorded_schema(root.name, rate_hz, cameras, axes["puppet"], axes["master"])
    raise CorruptFileError(root, f"none of {len(files)} files is a sound episode: {failure}")


def _sides(arrays: Arrays, who: str, path: Path, index: int) -> dict[str, np.ndarray]:
    """The joint datasets by prefix of their axes."""
    found = {
        key.removeprefix("joint_position").lstrip("_"): arrays[f"{who}/{key}"]
        for key in _JOINTS
        if f"{who}/{key}" in arrays
    }
    if not found or any(rows.ndim != 2 for rows in found.values()):
        raise EpisodeError(
            path, index, f"expected {who}/joint_position (tick, joint), got {sorted(arrays)}"
        )
    return found


def _axes(arrays: Arrays, who: str, path: Path, index: int) -> tuple[str, ...]:
    return tuple(
        f"{side}_joint_{number + 1}".lstrip("_")
        for side, rows in _sides(arrays, who, path, index).items()
        for number in range(rows.shape[1])
    )


def _joints(arrays: Arrays, who: str, path: Path, index: int) -> np.ndarray:
    """(tick, axis) float32, the left arm first."""
    sides = _sides(arrays, who, path, index)
    if len({len(rows) for rows in sides.values()}) > 1:
        lengths = {side: len(rows) for side, rows in sides.items()}
        raise EpisodeError(path, index, f"{who}: expected arms of one length, got {lengths}")
    vector = np.concatenate(list(sides.values()), axis=1).astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(vector).all(1))
    if len(wrong):
        raise EpisodeError(path, index, f"{who}: a number is not finite", int(wrong[0]))
    return vector


def _frames(name: str, rows: np.ndarray, path: Path, index: int) -> np.ndarray:
    if rows.ndim == 4:
        return rows
    encoded = [bytes(row) for row in rows]
    try:
        size = decode_image(encoded[0]).shape[:2] if encoded else (0, 0)
    except ValueError as error:
        raise EpisodeError(path, index, f"{name}: {error}", 0) from error
    return decode_frames(encoded, (size[0], size[1]), path, index, name.removeprefix(_IMAGES))


def _instruction(arrays: Arrays, path: Path) -> str:
    """`language_raw`, else the name of the task's folder, which is above success_episodes."""
    if "language_raw" in arrays and arrays["language_raw"].size:
        text = arrays["language_raw"].reshape(-1)[0]
        return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    folders = list(path.parts)
    if "success_episodes" in folders[1:]:
        return folders[folders.index("success_episodes") - 1].replace("_", " ")
    return ""
