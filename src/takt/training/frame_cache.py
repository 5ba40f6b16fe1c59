"""Datasets decoded once, kept on disk, mapped by every rank."""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from takt.datasets.lerobot import LeRobotDataset
from takt.training.frames import Frames, stack_episodes
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
    folders = [cache / _fingerprint(root, spec, points_key, plan_key) for root in data]
    if rank() == 0:
        for root, folder in zip(data, folders, strict=True):
            if not folder.exists():
                draft = folder.with_suffix(".draft")
                shutil.rmtree(draft, ignore_errors=True)
                stack_episodes(LeRobotDataset.open(root), spec, points_key, plan_key).save(draft)
                draft.rename(folder)
    barrier()
    return [Frames.map(folder) for folder in folders]


def _fingerprint(
    root: Path, spec: EmbodimentSpec, points_key: str | None, plan_key: str | None
) -> str:
    cameras = [(camera.name, camera.height, camera.width) for camera in spec.cameras]
    facts = [repr((str(root.resolve()), spec.name, cameras, points_key, plan_key))]
    for path in sorted(root.rglob("*")):
        if path.suffix in (".parquet", ".mp4"):  # JSON is rewritten whenever a writer opens it
            stat = path.stat()
            facts.append(f"{path.relative_to(root)} {stat.st_size} {stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
