"""Killed, interrupted or out of space: finished episodes stay, and recording goes on."""

import errno
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from takt.datasets.errors import DiskFullError
from takt.datasets.inspection import inspect
from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.writer import LeRobotWriter
from takt.folder_lock import LOCK_NAME
from takt.types import EmbodimentSpec, Episode

EXTRAS = {"annotation.points": 4, "annotation.phase": 1}
Make = Callable[..., Episode]
Same = Callable[[Episode, Episode], None]


KILLED = """
import os, shutil, signal, sys
from pathlib import Path
import numpy as np
from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.writer import LeRobotWriter
from takt.types import ActionSpace, CameraSpec, EmbodimentSpec

source = LeRobotDataset.open(Path(sys.argv[1]))
base, step, data = Path(sys.argv[2]), 0, source.metadata
axes = data.feature("action").names
spec = EmbodimentSpec(
    name=data.embodiment, rate_hz=data.fps, slots=(0, 1, 2), relative=(True,) * 3, instruction="",
    cameras=tuple(
        CameraSpec(name=c.name, view="", height=c.height, width=c.width) for c in data.cameras
    ),
    action_space=ActionSpace(
        names=axes, units=axes, low=-np.ones(3, np.float32), high=np.ones(3, np.float32)
    ),
)
first, second = source
extras = {name: rows.shape[1] for name, rows in first.extras.items()}
begun = base.with_name("begun")
LeRobotWriter(begun, spec, extras=extras).add_episode(first)

def run(root, step):
    seen = 0
    def hook(event, args):
        nonlocal seen
        if event == "os.rename" or (event == "open" and ".tmp" in str(args[0])):
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)
    shutil.copytree(begun, root)
    writer = LeRobotWriter(root, spec, extras=extras)
    sys.addaudithook(hook)
    writer.add_episode(second)

while True:
    step += 1
    child = os.fork()
    if child == 0:
        run(base / str(step), step)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
"""


@pytest.fixture
def killed(tmp_path: Path, writer: LeRobotWriter, make_episode: Make) -> list[Path]:
    """Datasets whose writer was killed (-9) before an open or a rename of its second episode."""
    writer.add_episode(make_episode(0))
    writer.add_episode(make_episode(1))
    base = tmp_path / "killed"
    base.mkdir()
    argv = [sys.executable, "-c", KILLED, str(writer.root), str(base)]
    subprocess.run(argv, check=True, timeout=120)
    return sorted(base.iterdir(), key=lambda path: int(path.name))


def test_killed_at_any_moment(
    killed: list[Path], spec: EmbodimentSpec, make_episode: Make, expect_same: Same
) -> None:
    finished = []
    for root in killed:
        dataset = LeRobotDataset.open(root)
        finished.append(len(dataset))
        assert inspect(dataset, decode=True).problems == ()
        for seed, got in enumerate(dataset):
            expect_same(got, make_episode(seed))
        assert (root / LOCK_NAME).exists()
        writer = LeRobotWriter(root, spec, extras=EXTRAS)
        assert writer.num_episodes == finished[-1]
        assert len(list((root / "data").rglob("*"))) == 1 + finished[-1], "orphans are removed"
        writer.add_episode(make_episode(2))
        expect_same(LeRobotDataset.open(root).episode(finished[-1]), make_episode(2))
    # Two videos, rows and episode, then info and statistics, an open and a rename each; the last
    # run came through unharmed.
    assert len(finished) == 13
    assert finished == [1] * 8 + [2] * 5


@pytest.mark.parametrize(
    "place",
    [
        "videos/observation.images.top/chunk-000/file-001.mp4",
        "videos/observation.images.hand/chunk-000/file-001.mp4",
        "data/chunk-000/file-001.parquet",
        "meta/episodes/chunk-000/file-001.parquet",
        "meta/info.json",
    ],
)
def test_full_disk(root: Path, writer: LeRobotWriter, make_episode: Make, place: str) -> None:
    """/dev/full behind the temporary file's name gives a true ENOSPC."""
    writer.add_episode(make_episode(0))
    (root / (place + ".tmp")).symlink_to("/dev/full")
    safe = 2 if place == "meta/info.json" else 1
    with pytest.raises(DiskFullError, match=f"{safe} finished episodes are safe"):
        writer.add_episode(make_episode(1))
    assert len(LeRobotDataset.open(root)) == writer.num_episodes == safe
    assert not list(root.rglob("*.tmp"))
    assert len(list(root.rglob("*.mp4"))) == 2 * safe, "the unfinished episode takes no room"
    assert writer.add_episode(make_episode(1)) == safe
    assert inspect(LeRobotDataset.open(root), decode=True).problems == ()


def test_a_used_up_quota_is_a_full_disk(
    writer: LeRobotWriter, make_episode: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr("takt.datasets.atomic.os.fsync", full)
    with pytest.raises(DiskFullError, match="disk full; 0 finished episodes are safe"):
        writer.add_episode(make_episode(0))


def test_full_disk_from_the_start(root: Path, spec: EmbodimentSpec) -> None:
    LeRobotWriter(root / "other", spec).close()
    (root / "other" / "meta" / "info.json.tmp").symlink_to("/dev/full")
    with pytest.raises(DiskFullError, match="0 finished episodes"):
        LeRobotWriter(root / "other", spec)


class InterruptedImages(dict[str, np.ndarray]):
    """Ctrl-C arrives when the second camera is asked for."""

    def __getitem__(self, name: str) -> np.ndarray:
        if name == "hand":
            raise KeyboardInterrupt
        return super().__getitem__(name)


def test_interrupt_loses_nothing_finished(
    root: Path, writer: LeRobotWriter, make_episode: Make
) -> None:
    whole = make_episode(1)
    torn = replace(whole, images=InterruptedImages(whole.images))
    writer.add_episode(make_episode(0))
    with pytest.raises(KeyboardInterrupt):
        writer.add_episode(torn)
    assert writer.num_episodes == 1
    assert len(LeRobotDataset.open(root)) == 1
    assert len(list(root.rglob("*.mp4"))) == 2
    assert writer.add_episode(whole) == 1


def test_killed_before_the_first_metadata(root: Path, spec: EmbodimentSpec) -> None:
    leftover = root / "meta" / "info.json.tmp"
    leftover.parent.mkdir(parents=True)
    leftover.write_text("{")
    assert LeRobotWriter(root, spec).num_episodes == 0
    assert len(LeRobotDataset.open(root)) == 0
