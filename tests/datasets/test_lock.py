"""One writer per dataset at a time."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from takt.datasets.errors import NotADatasetError, WriterClosedError
from takt.datasets.inspection import inspect
from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.writer import LeRobotWriter
from takt.folder_lock import LOCK_NAME, FolderInUseError, FolderLock
from takt.types import EmbodimentSpec, Episode

EXTRAS = {"annotation.points": 4, "annotation.phase": 1}
Make = Callable[..., Episode]


class Intruded(dict[str, np.ndarray]):
    """Somebody else opens the dataset when its first video is written and the next is due."""

    root: Path
    spec: EmbodimentSpec

    def __getitem__(self, name: str) -> np.ndarray:
        if name == "hand":
            with pytest.raises(FolderInUseError, match="only writer.*wait"):
                LeRobotWriter(self.root, self.spec, extras=EXTRAS)
        return super().__getitem__(name)


def test_a_second_writer_is_refused_and_harms_nothing(
    root: Path, writer: LeRobotWriter, make_episode: Make
) -> None:
    whole = make_episode(0)
    images = Intruded(whole.images)
    images.root, images.spec = root, writer.spec
    writer.add_episode(replace(whole, images=images))
    dataset = LeRobotDataset.open(root)
    assert len(dataset) == 1
    assert inspect(dataset, decode=True).problems == ()


def test_a_closed_writer_lets_the_next_in(
    root: Path, writer: LeRobotWriter, make_episode: Make
) -> None:
    writer.add_episode(make_episode(0))
    writer.close()
    assert [path for path in root.rglob("*") if path.name == LOCK_NAME] == []
    with pytest.raises(WriterClosedError, match="closed"):
        writer.add_episode(make_episode(1))
    with pytest.raises(KeyError), LeRobotWriter(root, writer.spec, extras=EXTRAS) as second:
        raise KeyError
    assert not (root / LOCK_NAME).exists()
    writer.close()  # once more, without harm to whoever writes now
    with LeRobotWriter(root, writer.spec, extras=EXTRAS) as third:
        assert third.add_episode(make_episode(1)) == 1
    assert second.num_episodes == 1


def test_a_lock_file_left_by_a_kill_is_no_obstacle(root: Path, spec: EmbodimentSpec) -> None:
    root.mkdir()
    (root / LOCK_NAME).touch()
    with LeRobotWriter(root, spec) as writer:
        assert writer.num_episodes == 0


def test_a_lock_file_removed_while_waiting_for_it_is_made_anew(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two writers would hold locks on two files of one name."""
    first = FolderLock(root)
    late = (root / LOCK_NAME).open("ab")  # opened before the release, locked after it
    first.release()
    files = [late]
    real = Path.open
    monkeypatch.setattr(Path, "open", lambda *args: files.pop() if files else real(*args))
    second = FolderLock(root)
    assert second.held
    assert (root / LOCK_NAME).exists()
    with pytest.raises(FolderInUseError):
        FolderLock(root)


def test_a_file_is_no_place_for_a_dataset(tmp_path: Path, spec: EmbodimentSpec) -> None:
    path = tmp_path / "thesis.tex"
    path.write_text("")
    with pytest.raises(NotADatasetError, match="expected a folder, got a file"):
        LeRobotWriter(path, spec)
