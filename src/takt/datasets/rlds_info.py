"""What an RLDS dataset says about itself: features.json, dataset_info.json and its shards."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from takt.datasets.errors import CorruptFileError, MissingDataError, NotADatasetError
from takt.datasets.metadata import read_json


@dataclass(frozen=True, slots=True, kw_only=True)
class RldsFeature:
    """One feature of a step. `shape` is one step's; a size that is not fixed is 0."""

    is_image: bool
    shape: tuple[int, ...]

    @property
    def width(self) -> int:
        """Numbers per step."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One TFRecord file; `episodes` is what dataset_info.json promises, None if it does not."""

    path: Path
    episodes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RldsInfo:
    """`features` is by key within a step, such as "observation/image"; `name` may be empty."""

    root: Path
    name: str
    features: Mapping[str, RldsFeature]
    shards: tuple[Shard, ...]


def read_rlds_info(root: Path, split: str) -> RldsInfo:
    """Read the metadata in `root`, or in its only version folder.

    Raises:
        NotADatasetError: no features.json, or several versions of one.
        CorruptFileError: a metadata file is damaged.
        MissingDataError: the split has no file.
    """
    root = _version_folder(root)
    path = root / "features.json"
    try:
        steps = read_json(path)["featuresDict"]["features"]["steps"]
        # "sequence" is what the library writes for a Dataset feature.
        features = dict(_features(steps["sequence"]["feature"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptFileError(
            path, f"expected TFDS features with a dataset `steps`, got none ({error!r})"
        ) from error
    info = root / "dataset_info.json"
    raw = read_json(info) if info.is_file() else {}
    try:
        lengths = {
            str(entry["name"]): [int(length) for length in entry.get("shardLengths") or ()]
            for entry in raw.get("splits") or ()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptFileError(info, f"its splits cannot be read ({error!r})") from error
    return RldsInfo(
        root=root,
        name=str(raw.get("name") or ""),
        features=features,
        shards=_shards(root, split, lengths),
    )


def _version_folder(root: Path) -> Path:
    if (root / "features.json").is_file():
        return root
    versions = sorted(path.parent for path in root.glob("*/features.json"))
    if len(versions) != 1:
        names = ", ".join(path.name for path in versions) or "none"
        raise NotADatasetError(
            root, f"expected an RLDS dataset with features.json in it, or one version; got {names}"
        )
    return versions[0]


def _features(raw: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, RldsFeature]]:
    """Every leaf by its path; kinds that no layout reads are left out."""
    match raw:
        case {"featuresDict": {"features": dict(parts)}}:
            for name, part in parts.items():
                yield from _features(part, f"{prefix}/{name}" if prefix else name)
        case {"image": {"shape": dict(shape)}}:
            yield prefix, RldsFeature(is_image=True, shape=_shape(shape))
        case {"tensor": {"shape": dict(shape)}}:
            yield prefix, RldsFeature(is_image=False, shape=_shape(shape))
        case {"text": _}:
            yield prefix, RldsFeature(is_image=False, shape=())


def _shape(raw: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(max(0, int(size)) for size in raw.get("dimensions") or ())


def _shards(root: Path, split: str, lengths: Mapping[str, list[int]]) -> tuple[Shard, ...]:
    """In order; a file that is not there but promised is listed too."""
    paths = sorted(root.glob(f"*-{split}.tfrecord-*-of-*"))
    known = sorted({*lengths, *(_split_of(path) for path in root.glob("*.tfrecord-*"))})
    if not paths:
        raise MissingDataError(
            root,
            f"expected files of the split {split!r}, got none; known splits: "
            f"{', '.join(known) or 'none'}",
        )
    stem, total = paths[0].name.rsplit("-", 3)[0], int(paths[0].name.rsplit("-", 1)[1])
    promised = lengths.get(split) or []
    return tuple(
        Shard(
            path=root / f"{stem}-{number:05d}-of-{total:05d}",
            episodes=promised[number] if number < len(promised) else None,
        )
        for number in range(total)
    )


def _split_of(path: Path) -> str:
    return path.name.split(".tfrecord")[0].rsplit("-", 1)[-1]
