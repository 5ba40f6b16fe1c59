"""Reader of RLDS datasets (TFDS, TFRecord) by a declared field map, without TensorFlow."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from takt.datasets.encoded_image import decode_frames, decode_image
from takt.datasets.errors import CameraMismatchError, DatasetError, EpisodeError
from takt.datasets.rlds_info import RldsInfo, Shard, read_rlds_info
from takt.datasets.rlds_layouts import Part, RldsLayout, layout_name, rlds_layout
from takt.datasets.schema import Schema
from takt.datasets.source import recorded_schema
from takt.datasets.tf_example import Values, WireError, parse_example
from takt.datasets.tfrecord import Record, records
from takt.types import Episode, TaktError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lost:
    """An episode that its file should hold but does not."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RldsDataset:
    """Episodes of one split. Nothing is held in memory but where they lie.

    There are no capture times in the format: a frame counts as captured at its step.
    """

    schema: Schema
    layout: RldsLayout
    entries: tuple[Record | _Lost, ...]

    @classmethod
    def open(cls, root: Path, layout: str | None = None, split: str = "train") -> "RldsDataset":
        """Read the metadata in `root` and find every record of the split.

        Args:
            root: The folder with features.json, or the one above its only version.
            layout: Name or .toml file of the field map; None takes that of the dataset's name.
            split: Name of the split.

        Raises:
            DatasetError: no dataset, damaged metadata, or a feature of the layout is missing.
            TaktError: the layout is unknown.
        """
        info = read_rlds_info(Path(root), split)
        name = layout or layout_name(info.name)
        fields = rlds_layout(name)
        _require_features(info, fields)
        entries = tuple(entry for shard in info.shards for entry in _entries(shard))
        schema = recorded_schema(
            Path(name).stem,
            fields.rate_hz,
            {camera: _size(info, key, entries) for camera, key in fields.cameras.items()},
            _axes(fields.state),
            _axes(fields.actions),
        )
        return cls(schema=schema, layout=fields, entries=entries)

    def __len__(self) -> int:
        """Number of episodes, lost ones included."""
        return len(self.entries)

    def path(self, index: int) -> Path:
        """The shard that holds the episode."""
        return self.entries[index].path

    def episode(self, index: int) -> Episode:
        """Read one episode with all its images.

        Raises:
            EpisodeError: it is lost, or damaged; a frame is named where one is to blame.
        """
        path, values = self.path(index), _values(self.entries[index], index, self.layout.keys)
        actions = self._vector(self.layout.actions, values, path, index)
        ticks = len(actions)
        stamps = np.arange(ticks) / self.layout.rate_hz
        return Episode(
            embodiment=self.schema.spec.name,
            instruction=_instruction(values, self.layout),
            rate_hz=self.layout.rate_hz,
            stamps=stamps,
            images=self._images(values, ticks, path, index),
            image_stamps=dict.fromkeys(self.layout.cameras, stamps),
            state=self._vector(self.layout.state, values, path, index, ticks),
            actions=actions,
        )

    def _images(
        self, values: Mapping[str, Values], ticks: int, path: Path, index: int
    ) -> dict[str, np.ndarray]:
        images: dict[str, np.ndarray] = {}
        for camera in self.schema.spec.cameras:
            encoded = values.get(self.layout.cameras[camera.name])
            if not isinstance(encoded, list) or len(encoded) != ticks:
                got = "none" if encoded is None else len(encoded)
                raise EpisodeError(
                    path, index, f"camera {camera.name!r}: expected {ticks} images, got {got}"
                )
            size = (camera.height, camera.width)
            images[camera.name] = decode_frames(encoded, size, path, index, camera.name)
        return images

    def _vector(
        self,
        parts: tuple[Part, ...],
        values: Mapping[str, Values],
        path: Path,
        index: int,
        ticks: int | None = None,
    ) -> np.ndarray:
        """(tick, axis) float32 of all parts side by side; as many ticks as the first part has."""
        columns: list[np.ndarray] = []
        for part in parts:
            rows, width = values.get(part.key), len(part.axes)
            count = len(rows) if isinstance(rows, np.ndarray) else 0
            ticks = count // width if ticks is None else ticks
            if not isinstance(rows, np.ndarray) or not ticks or count != ticks * width:
                raise EpisodeError(
                    path,
                    index,
                    f"{part.key}: expected {ticks or 'some'} steps of {width} numbers, "
                    f"got {count} numbers",
                )
            columns.append(rows.reshape(ticks, width).astype(np.float32))
        vector = np.concatenate(columns, axis=1)
        wrong = np.flatnonzero(~np.isfinite(vector).all(1))
        if len(wrong):
            keys = ", ".join(part.key for part in parts)
            raise EpisodeError(path, index, f"{keys}: a number is not finite", int(wrong[0]))
        return vector


def _require_features(info: RldsInfo, layout: RldsLayout) -> None:
    """Every key is there; numeric ones are as wide as the layout names axes."""
    wrong = [f"{key}: not there" for key in layout.keys if key not in info.features]
    for part in (*layout.state, *layout.actions):
        feature = info.features.get(part.key)
        if feature is not None and feature.width != len(part.axes):
            wrong.append(f"{part.key}: expected {len(part.axes)} numbers, got {feature.width}")
    if wrong:
        raise TaktError(
            f"{info.root / 'features.json'} does not fit the layout: {'; '.join(wrong)}; choose "
            f"another one with --layout. Features there: {', '.join(sorted(info.features))}"
        )


def _entries(shard: Shard) -> Iterator[Record | _Lost]:
    """A shard's records, then one lost episode for each that it should have but has not."""
    found = 0
    reason = "the file ends before it"
    try:
        for record in records(shard.path):
            found += 1
            yield record
        promised = shard.episodes or found
    except DatasetError as error:
        reason = error.reason
        promised = shard.episodes or found + 1
    for _ in range(found, promised):
        yield _Lost(path=shard.path, reason=reason)


def _values(entry: Record | _Lost, index: int, keys: tuple[str, ...]) -> dict[str, Values]:
    """The features of one episode by their keys within a step."""
    if isinstance(entry, _Lost):
        raise EpisodeError(entry.path, index, entry.reason)
    try:
        example = parse_example(entry.read(), {f"steps/{key}" for key in keys})
    except DatasetError as error:
        raise EpisodeError.of(error, index) from error
    except WireError as error:
        raise EpisodeError(
            entry.path, index, f"not a tf.train.Example ({error}); copy the file again"
        ) from error
    return {key.removeprefix("steps/"): values for key, values in example.items()}


def _size(info: RldsInfo, key: str, entries: tuple[Record | _Lost, ...]) -> tuple[int, int]:
    """A camera's height and width: declared, or those of the first image that can be read."""
    declared = info.features[key].shape[:2]
    if len(declared) == 2 and all(declared):
        return declared[0], declared[1]
    for index, entry in enumerate(entries):
        try:
            images = _values(entry, index, (key,)).get(key)
            if isinstance(images, list) and images:
                height, width, _ = decode_image(images[0]).shape
                return height, width
        except (DatasetError, ValueError):
            continue
    raise CameraMismatchError(info.root, f"expected an image {key!r} in some episode, got none")


def _axes(parts: tuple[Part, ...]) -> tuple[str, ...]:
    return tuple(axis for part in parts for axis in part.axes)


def _instruction(values: Mapping[str, Values], layout: RldsLayout) -> str:
    """The first language feature that says something, at the first step."""
    for key in layout.instruction:
        texts = values.get(key)
        if isinstance(texts, list) and texts and texts[0].strip():
            return texts[0].decode("utf-8", "replace").strip()
    return ""
