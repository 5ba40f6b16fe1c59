"""No executed tick is lost: not to a slow disk, not to a kill; interventions are marked."""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import SPEC, FakePolicy, FakeStation
from runtime.test_strategies import TakesOver
from spools import LAYOUT, StuckDisk, spooled

from takt.datasets.errors import CameraMismatchError, FeatureMismatchError
from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.writer import LeRobotWriter
from takt.runtime.chunking import LambdaPrefix
from takt.runtime.clock import VirtualClock
from takt.runtime.executor import Executor
from takt.runtime.inference import InlinePolicy
from takt.runtime.latency import Injected
from takt.runtime.recorder import Recorder
from takt.runtime.safety import Governor, step_limits
from takt.runtime.spool import SpoolError
from takt.runtime.spooled_episodes import AUTHORITY, SUCCESS
from takt.runtime.trace import Trace
from takt.types import Observation


class SharpStation(FakeStation):
    """With images of the size that its cameras have."""

    def observe(self) -> Observation:
        seen = super().observe()
        images = {camera.name: np.full((camera.height, camera.width, 3), self.ticks % 200, np.uint8)
                  for camera in SPEC.cameras}  # fmt: skip
        return replace(seen, images=images)


def episode(recorder: Recorder, ticks: int = 60) -> Trace:
    station = SharpStation()
    executor = Executor(
        station,
        InlinePolicy(FakePolicy()),
        LambdaPrefix(6, 3),
        clock=VirtualClock(SPEC.dt),
        latency=Injected(3),
        governor=Governor(SPEC.action_space, step_limits(SPEC)),
        operator=TakesOver(),
        listeners=[recorder],
    )
    return executor.run(lambda: station.ticks >= ticks)


def test_an_episode_is_recorded_as_it_was_executed(tmp_path: Path) -> None:
    root = tmp_path / "data"
    with Recorder(root, SPEC) as recorder:
        recorder.begin()
        trace = episode(recorder)
        recorder.end(True)
        recorder.begin()
        episode(recorder, 30)
        recorder.end(None)
    dataset = LeRobotDataset.open(root)
    assert len(dataset) == 2
    table = dataset.table(0)
    np.testing.assert_array_equal(table.actions, trace.actions)
    assert np.flatnonzero(table.extras[AUTHORITY][:, 0] == 2).tolist() == list(range(20, 40))
    assert (table.extras[SUCCESS] == 1).all()
    assert (dataset.table(1).extras[SUCCESS] == -1).all()
    assert not list((tmp_path / "data-spools").glob("*.spool"))


KILLED = """
import sys, time
from pathlib import Path
from runtime.test_recorder import SPEC, Recorder, episode
recorder = Recorder(Path(sys.argv[1]), SPEC)
recorder.begin(); episode(recorder, 20); recorder.end(True)
recorder.begin(); episode(recorder, 45)
while recorder._spool._written < 45: time.sleep(0.01)
print("recorded", flush=True)
time.sleep(60)
"""


def test_a_kill_loses_no_episode(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "data"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path])}
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(root)], stdout=subprocess.PIPE, env=environment
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"recorded\n"
        child.send_signal(signal.SIGKILL)
    with Recorder(root, SPEC) as recorder:
        recorder.begin()
        episode(recorder, 10)
        recorder.end(False)
    assert "1 of them cut short, after 45 ticks" in caplog.text
    dataset = LeRobotDataset.open(root)
    assert [len(dataset.table(index).stamps) for index in range(3)] == [20, 45, 10]
    assert not (tmp_path / "data-spools").exists()


def test_spools_of_another_body_are_named_and_block_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "data-spools"
    spooled(folder / "000000-0.adding", 7, body="crane")
    other = folder / "000000.spool"
    spooled(folder / "000001.part", 3)
    spooled(folder / "000002.part", 0)
    (folder / "000003.part").touch()
    with Recorder(tmp_path / "data", SPEC) as recorder:
        said = caplog.text
        recorder.begin()
        episode(recorder, 5)
        recorder.end(True)
    assert f"{other}: 7 ticks" in said
    assert "body crane instead of nut-station" in said
    assert "record 'crane' into OTHER" in said
    assert "1 of its episodes, 3 ticks, are added\n" in said
    lengths = [record.length for record in LeRobotDataset.open(tmp_path / "data").metadata.episodes]
    assert lengths == [3, 5]
    assert list(folder.iterdir()) == [other]


def test_a_disk_that_is_left_behind_still_gets_all_that_was_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = StuckDisk(monkeypatch)
    monkeypatch.setattr("takt.runtime.recorder.BACKLOG_BYTES", 12 * LAYOUT.dtype.itemsize)
    with Recorder(tmp_path / "data", SPEC) as recorder:
        recorder.begin()
        with pytest.raises(SpoolError, match="keeps up"):
            episode(recorder, 60)
        threading.Timer(0.1, disk.moves.set).start()
        recorder.end(None)
        recorder.begin()
        episode(recorder, 5)
        recorder.end(True)
    dataset = LeRobotDataset.open(tmp_path / "data")
    assert [len(dataset.table(index).stamps) for index in range(2)] == [12, 5]


def test_an_end_that_is_interrupted_still_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = StuckDisk(monkeypatch)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # nohup leaves it ignored
    with Recorder(tmp_path / "data", SPEC) as recorder:
        recorder.begin()
        episode(recorder, 9)
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        threading.Timer(0.4, disk.moves.set).start()
        with pytest.raises(KeyboardInterrupt):
            recorder.end(True)
    signal.signal(signal.SIGINT, before)
    table = LeRobotDataset.open(tmp_path / "data").table(0)
    assert len(table.stamps) == 9
    assert (table.extras[SUCCESS] == 1).all()


def test_a_dataset_of_other_columns_is_refused_before_anything_moves(tmp_path: Path) -> None:
    with LeRobotWriter(tmp_path / "data", SPEC):
        pass
    with pytest.raises(FeatureMismatchError):
        Recorder(tmp_path / "data", SPEC)
    assert not (tmp_path / "data-spools").exists()


def test_images_that_no_video_holds_are_refused_before_anything_moves(tmp_path: Path) -> None:
    odd = replace(SPEC, cameras=(replace(SPEC.cameras[0], height=63), *SPEC.cameras[1:]))
    with pytest.raises(CameraMismatchError, match="even height"):
        Recorder(tmp_path / "data", odd)
