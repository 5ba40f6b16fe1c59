"""Datasets decoded once, kept on disk, mapped by every rank."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from takt.datasets.body import BodyEpisodes
from takt.datasets.errors import BadEpisodeError, DatasetError, EpisodeError
from takt.datasets.frame_shards import FrameShards
from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.merging import split_episodes
from takt.policies.xr0.config import XR0Config
from takt.policies.xr0.images import fit_images
from takt.training.frames import SHARDS, Fit, Frames, stack_episodes
from takt.training.parallel import on_first_rank
from takt.training.sharded_images import ShardedImages
from takt.types import EmbodimentSpec

_DAMAGED = "damaged.json"
_READ_METADATA = ("info.json", "episodes.jsonl", "tasks.jsonl")


def load_frames(
    data: Sequence[Path],
    cache: Path,
    spec: EmbodimentSpec,
    points_key: str | None,
    plan_key: str | None,
) -> list[Frames]:
    """The frames of each dataset, decoded into a folder of its own under `cache` if need be.

    The folder's name tells the dataset's files and what was taken from them: one that has changed
    is decoded again. The first rank decodes, the others wait; all end if it cannot.
    """
    folders = [cache / _fingerprint(root, spec, (points_key, plan_key)) for root in data]
    for root, folder in zip(data, folders, strict=True):

        def decode(draft: Path, root: Path = root) -> None:
            episodes = LeRobotDataset.open(root)
            stack_episodes(episodes, spec, points_key, plan_key).save(draft)

        _decode_once(folder, decode)
    return [Frames.map(folder) for folder in folders]


class NoEpisodeError(DatasetError):
    """Every episode that was asked for is damaged."""

    def __init__(self, root: Path, damaged: Sequence[EpisodeError]) -> None:
        """Show the first of them."""
        first = f" damaged ones; the first: {damaged[0]}" if damaged else "; record one first"
        super().__init__(root, f"expected an episode that can be read, got {len(damaged)}{first}")
        self.damaged = tuple(map(str, damaged))


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyFrames:
    """Frames of a dataset, and what was wrong with each episode that was left out."""

    frames: Frames
    damaged: tuple[str, ...]


def load_body_frames(
    source: BodyEpisodes,
    episodes: Sequence[int],
    cache: Path,
    fit: Fit,
    image_size: object,
    *,
    skip_bad: bool = False,
) -> BodyFrames:
    """As `load_frames`, of the given episodes, as JPEG shards; one is in memory at a time.

    `image_size` tells what `fit` makes of an image: frames of another one are decoded anew.

    Raises:
        BadEpisodeError: an episode is damaged and not to be skipped.
        NoEpisodeError: all are.
    """
    root = source.dataset.metadata.root
    taken = (source.state, source.actions, tuple(episodes), image_size)
    folder = cache / _fingerprint(root, source.spec, taken)
    _decode_once(folder, lambda draft: _shard(source, episodes, fit, draft, skip_bad=skip_bad))
    stored = json.loads((folder / _DAMAGED).read_text())
    damaged = [EpisodeError(Path(path), *rest) for path, *rest in stored]
    if damaged and not skip_bad:
        raise BadEpisodeError(damaged[0])
    if len(damaged) == len(episodes):
        raise NoEpisodeError(root, damaged)
    return BodyFrames(frames=Frames.map(folder), damaged=tuple(map(str, damaged)))


def fitted_frames(
    source: BodyEpisodes,
    episodes: Sequence[int],
    cache: Path,
    config: XR0Config,
    *,
    skip_bad: bool = False,
) -> BodyFrames:
    """`load_body_frames` with images as small as the policy looks at them."""
    size = (config.image_pixels, config.image_rule, config.vision.token_pixels)

    def fit(view: np.ndarray) -> np.ndarray:
        return fit_images(view, config).numpy()

    return load_body_frames(source, episodes, cache, fit, size, skip_bad=skip_bad)


def held_out_frames(
    source: BodyEpisodes, episodes: Sequence[int], cache: Path, config: XR0Config, *, skip_bad: bool
) -> tuple[Frames | None, tuple[str, ...]]:
    """Frames to measure on, if an episode can be read, and what was wrong with the others."""
    if not episodes:
        return None, ()
    try:
        found = fitted_frames(source, episodes, cache, config, skip_bad=skip_bad)
    except NoEpisodeError as error:
        if not skip_bad:
            raise
        return None, error.damaged
    return found.frames, found.damaged


def hold_out(count: int, share: float, seed: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Episodes to train on and a `share` held out (one at least, if there are two), in order.

    Those held out are the first part that `takt data split` makes with that share and seed.
    """
    if not share or count < 2:
        return tuple(range(count)), ()
    held_out, rest = split_episodes(count, share, seed)
    return rest, held_out


def _decode_once(folder: Path, decode: Callable[[Path], None]) -> None:
    """Every rank calls; what ends the first one's decoding ends them all."""
    on_first_rank(_decode, folder, decode)


def _decode(folder: Path, decode: Callable[[Path], None]) -> None:
    if not folder.exists():
        draft = folder.with_suffix(".draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        decode(draft)
        draft.rename(folder)


def _shard(
    source: BodyEpisodes, episodes: Sequence[int], fit: Fit, draft: Path, *, skip_bad: bool
) -> None:
    """Where every episode is damaged, no frames but what is wrong: each rank reads it."""
    names = [camera.name for camera in source.spec.cameras]
    parts: list[Frames] = []
    damaged: list[EpisodeError] = []

    def decoded() -> Iterator[dict[str, np.ndarray]]:
        for index in episodes:
            try:
                part = stack_episodes([source.episode(index)], source.spec, fit=fit)
            except DatasetError as error:
                named = EpisodeError.of(error, index)
                if not skip_bad:
                    raise BadEpisodeError(named) from error
                damaged.append(named)
                continue
            images = part.images
            assert isinstance(images, np.ndarray)
            parts.append(replace(part, images=np.empty((0, *images.shape[1:]), np.uint8)))
            yield {
                name: images[:, view, :height, :width]
                for view, (name, (height, width)) in enumerate(
                    zip(names, part.sizes.tolist(), strict=True)
                )
            }
        if not parts:
            raise NoEpisodeError(source.dataset.metadata.root, damaged)

    with suppress(NoEpisodeError):
        shards = FrameShards.build(decoded(), names, draft / SHARDS)
        replace(Frames.join(parts), images=ShardedImages(shards)).save(draft)
    stored = [(str(error.path), error.episode, error.reason, error.frame) for error in damaged]
    (draft / _DAMAGED).write_text(json.dumps(stored))


def _fingerprint(root: Path, spec: EmbodimentSpec, taken: tuple[object, ...]) -> str:
    cameras = [(camera.name, camera.height, camera.width) for camera in spec.cameras]
    columns = [field.name for field in fields(Frames)]  # of another layout: decode again
    facts = [repr((str(root.resolve()), spec.name, cameras, *taken, columns))]
    for path in sorted(root.rglob("*")):
        if path.suffix in (".parquet", ".mp4"):
            stat = path.stat()
            facts.append(f"{path.relative_to(root)} {stat.st_size} {stat.st_mtime_ns}")
        elif path.name in _READ_METADATA:  # rewritten as they are whenever a writer opens it
            facts.append(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}")
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
