"""Datasets decoded once, kept on disk, mapped by every rank."""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from takt.datasets.body import BodyEpisodes
from takt.datasets.lerobot import LeRobotDataset
from takt.training.frames import Fit, Frames, stack_episodes
from takt.training.parallel import barrier, rank
from takt.types import EmbodimentSpec


def load_frames(
    data: Sequence[Path],
    cache: Path,
    spec: EmbodimentSpec,
    points_key: str | None,
    plan_key: str | None,
) -> list[Frames]:
    """The frames of each dataset, decoded into a folder of its own under `cache` if need be.

    The folder's name tells the dataset's files and what was taken from them: one that has changed
    is decoded again. The first rank decodes, the others wait.
    """
    folders = [cache / _fingerprint(root, spec, (points_key, plan_key)) for root in data]
    for root, folder in zip(data, folders, strict=True):

        def decode(draft: Path, root: Path = root) -> None:
            episodes = LeRobotDataset.open(root)
            stack_episodes(episodes, spec, points_key, plan_key).save(draft)

        _decode_once(folder, decode)
    barrier()
    return [Frames.map(folder) for folder in folders]


def load_body_frames(
    source: BodyEpisodes, episodes: Sequence[int], cache: Path, fit: Fit, image_size: object
) -> Frames:
    """As `load_frames`, of the given episodes; one is in memory at a time.

    `image_size` tells what `fit` makes of an image: frames of another one are decoded anew.
    """
    root = source.dataset.metadata.root
    taken = (source.state, source.actions, tuple(episodes), image_size)
    folder = cache / _fingerprint(root, source.spec, taken)
    _decode_once(folder, lambda draft: _save_one_by_one(source, episodes, fit, draft))
    barrier()
    return Frames.map(folder)


def _decode_once(folder: Path, decode: Callable[[Path], None]) -> None:
    if rank() == 0 and not folder.exists():
        draft = folder.with_suffix(".draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        decode(draft)
        draft.rename(folder)


def _save_one_by_one(source: BodyEpisodes, episodes: Sequence[int], fit: Fit, draft: Path) -> None:
    """As `Frames.save` of all episodes; images go to disk as they come."""
    total, row = sum(source.length(index) for index in episodes), 0
    path = draft / "images.growing"
    images: np.memmap | None = None
    parts: list[Frames] = []
    for index in episodes:
        part = stack_episodes([source.episode(index)], source.spec, fit=fit)
        if images is None:
            shape = (total, *part.images.shape[1:])
            images = np.lib.format.open_memmap(path, "w+", part.images.dtype, shape)
        images[row : row + len(part)] = part.images
        row += len(part)
        parts.append(replace(part, images=part.images[:0]))
    if images is not None:
        images.flush()
    Frames.join(parts).save(draft)
    path.replace(draft / "images.npy")


def _fingerprint(root: Path, spec: EmbodimentSpec, taken: tuple[object, ...]) -> str:
    cameras = [(camera.name, camera.height, camera.width) for camera in spec.cameras]
    columns = [field.name for field in fields(Frames)]  # of another layout: decode again
    facts = [repr((str(root.resolve()), spec.name, cameras, *taken, columns))]
    for path in sorted(root.rglob("*")):
        if path.suffix in (".parquet", ".mp4"):  # JSON is rewritten whenever a writer opens it
            stat = path.stat()
            facts.append(f"{path.relative_to(root)} {stat.st_size} {stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
