"""No executed tick is lost: not to a slow disk, not to a kill; interventions are marked."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import SPEC, FakePolicy, FakeStation
from runtime.test_strategies import TakesOver

from takt.datasets.errors import FeatureMismatchError
from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.writer import LeRobotWriter
from takt.runtime import spool as spools
from takt.runtime.chunking import LambdaPrefix
from takt.runtime.clock import VirtualClock
from takt.runtime.executor import Executor
from takt.runtime.inference import InlinePolicy
from takt.runtime.latency import Injected
from takt.runtime.recorder import Recorder
from takt.runtime.safety import Governor, step_limits
from takt.runtime.spool import End, Row, Spool, SpoolError, read_spool
from takt.runtime.spooled_episodes import AUTHORITY, SUCCESS, convert_all
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


def row(image: int = 64) -> Row:
    black = {camera.name: np.zeros((image, image, 3), np.uint8) for camera in SPEC.cameras}
    zeros = np.zeros(len(SPEC.slots), np.float32)
    return Row(
        stamp=0.0,
        wall_s=0.0,
        image_stamps=dict.fromkeys(black, 0.0),
        images=black,
        state=zeros,
        executed=zeros,
        planned=zeros,
        authority="policy",
        instruction="Hold.",
        touch=None,
    )


def test_an_episode_is_recorded_as_it_was_executed(tmp_path: Path) -> None:
    root = tmp_path / "data"
    with Recorder(root, SPEC) as recorder:
        recorder.begin()
        trace = episode(recorder)
        recorder.end(True, "done")
        recorder.begin()
        episode(recorder, 30)
        recorder.end(None, "out of time")
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
recorder.begin(); episode(recorder, 20); recorder.end(True, "done")
recorder.begin(); episode(recorder, 45)
while recorder._spool._written < 45 * 3 * 64 * 64 * 3: time.sleep(0.01)
print("recorded", flush=True)
time.sleep(60)
"""


def test_a_kill_loses_no_episode(tmp_path: Path) -> None:
    root = tmp_path / "data"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path])}
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(root)], stdout=subprocess.PIPE, env=environment
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"recorded\n"
        time.sleep(0.1)  # the last rows are flushed when the queue is empty
        child.send_signal(signal.SIGKILL)
    with Recorder(root, SPEC) as recorder:
        recorder.begin()
        episode(recorder, 10)
        recorder.end(False, "done")
    dataset = LeRobotDataset.open(root)
    assert [len(dataset.table(index).stamps) for index in range(3)] == [20, 45, 10]


def test_a_spool_that_was_written_before_a_kill_is_not_written_twice(tmp_path: Path) -> None:
    root, folder = tmp_path / "data", tmp_path / "spools"
    folder.mkdir()
    with Spool(folder / "000000.spool", 1 << 20) as spool:
        spool.put(row())
        spool.put(End(success=True, why="done"))
    kept = (folder / "000000.spool").read_bytes()
    assert convert_all(folder, root, SPEC, 0) == 1
    (folder / "000000.spool").write_bytes(kept)
    assert convert_all(folder, root, SPEC, 0) == 1
    assert len(LeRobotDataset.open(root)) == 1


def test_a_slow_disk_loses_nothing_and_a_stuck_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, moves = spools.CODEC.encode, threading.Event()

    def when_it_moves(entry: object) -> bytes:
        moves.wait()
        return encode(entry)

    monkeypatch.setattr(spools.CODEC, "encode", when_it_moves)
    fill = [row(64)] * 40
    with Spool(tmp_path / "slow", 40 * fill[0].size) as spool:
        for entry in fill:
            spool.put(entry)  # returns, although nothing can be written yet
        with pytest.raises(SpoolError, match="keeps up"):
            spool.put(row(64))
        moves.set()
    assert len(list(read_spool(tmp_path / "slow"))) == 40


def test_a_disk_that_is_left_behind_still_gets_all_that_was_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, moves = spools.CODEC.encode, threading.Event()

    def when_it_moves(entry: object) -> bytes:
        moves.wait()
        return encode(entry)

    monkeypatch.setattr(spools.CODEC, "encode", when_it_moves)
    monkeypatch.setattr("takt.runtime.recorder.BACKLOG_BYTES", 500_000)
    with Recorder(tmp_path / "data", SPEC) as recorder:
        recorder.begin()
        with pytest.raises(SpoolError, match="keeps up"):
            episode(recorder, 60)
        threading.Timer(0.1, moves.set).start()
        recorder.end(None, "the disk")
        recorder.begin()
        episode(recorder, 5)
        recorder.end(True, "done")
    dataset = LeRobotDataset.open(tmp_path / "data")
    assert [len(dataset.table(index).stamps) for index in range(2)] == [12, 5]


def test_a_kill_before_the_first_row_leaves_nothing_to_mend(tmp_path: Path) -> None:
    folder = tmp_path / "data-spools"
    folder.mkdir()
    (folder / "000000.part").touch()
    with Spool(folder / "000001.part", 1 << 20) as spool:
        spool.put(End(success=None, why="interrupted"))
    with Recorder(tmp_path / "data", SPEC):
        assert not list(folder.glob("*.part"))
        assert not list(folder.glob("*.spool"))


def test_a_dataset_of_other_columns_is_refused_before_anything_moves(tmp_path: Path) -> None:
    with LeRobotWriter(tmp_path / "data", SPEC):
        pass
    with pytest.raises(FeatureMismatchError):
        Recorder(tmp_path / "data", SPEC)


def test_a_cut_row_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "cut"
    with Spool(path, 1 << 20) as spool:
        for _ in range(3):
            spool.put(row(8))
    path.write_bytes(path.read_bytes()[:-5])
    assert len(list(read_spool(path))) == 2
    path.write_bytes(b"something else")
    with pytest.raises(SpoolError, match="another file"):
        list(read_spool(path))
