"""A spool becomes an episode once, whenever a kill comes, and never lies in memory."""

import tracemalloc
from pathlib import Path

import pytest
from fakes import SPEC
from spools import spooled

from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.writer import LeRobotWriter
from takt.runtime.spooled_episodes import convert_all
from takt.types import Episode


@pytest.mark.parametrize("committed", [True, False])
def test_a_kill_between_dataset_and_spool_keeps_the_episode_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    root, folder = tmp_path / "data", tmp_path / "spools"
    spooled(folder / "000004.spool", 3)
    add = LeRobotWriter.add_episode

    def killed(self: LeRobotWriter, episode: Episode) -> int:
        if committed:
            add(self, episode)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(LeRobotWriter, "add_episode", killed)
        with pytest.raises(Killed):
            convert_all(folder, root, SPEC, 0)
    spooled(folder / "000005.spool", 2)
    convert_all(folder, root, SPEC, 0)
    assert [record.length for record in LeRobotDataset.open(root).metadata.episodes] == [3, 2]
    assert not list(folder.iterdir())


class Killed(BaseException):
    """Nothing after it is run."""


def test_images_of_a_spool_do_not_go_through_memory(tmp_path: Path) -> None:
    ticks = 300
    image_bytes = ticks * sum(camera.height * camera.width * 3 for camera in SPEC.cameras)
    spooled(tmp_path / "spools" / "000000.spool", ticks)
    tracemalloc.start()
    try:
        convert_all(tmp_path / "spools", tmp_path / "data", SPEC, 0)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(LeRobotDataset.open(tmp_path / "data")) == 1
    assert peak_bytes < image_bytes / 3
