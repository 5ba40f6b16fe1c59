"""No executed tick is lost: not to a slow disk, not to a kill; interventions are marked."""

import os
import signal
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import SPEC, FakePolicy, FakeStation
from runtime.test_strategies import TakesOver

from takt.datasets.errors import CameraMismatchError, FeatureMismatchError
from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.writer import LeRobotWriter
from takt.runtime.chunking import LambdaPrefix
from takt.runtime.clock import VirtualClock
from takt.runtime.executor import Executor
from takt.runtime.inference import InlinePolicy
from takt.runtime.latency import Injected
from takt.runtime.recorder import Recorder
from takt.runtime.row import Row, RowError, RowLayout
from takt.runtime.safety import Governor, step_limits
from takt.runtime.spool import Spool, SpoolError, read_spool
from takt.runtime.spooled_episodes import AUTHORITY, SUCCESS, convert_all
from takt.runtime.trace import Trace
from takt.types import Episode, Observation


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


LAYOUT = RowLayout.of(SPEC, 0)


def row(number: int = 0) -> Row:
    black = {c.name: np.zeros((c.height, c.width, 3), np.uint8) for c in SPEC.cameras}
    zeros = np.zeros(len(SPEC.slots), np.float32)
    return Row(
        stamp=number * SPEC.dt,
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
        recorder.end(False, "done")
    assert "1 of them cut short, after 45 ticks" in caplog.text
    dataset = LeRobotDataset.open(root)
    assert [len(dataset.table(index).stamps) for index in range(3)] == [20, 45, 10]
    assert not (tmp_path / "data-spools").exists()


def spooled(path: Path, ticks: int, *, success: bool | None = True, body: str = SPEC.name) -> Path:
    """A spool of so many black rows."""
    path.parent.mkdir(exist_ok=True)
    spool = Spool(path, replace(LAYOUT, body=body), 1 << 30)
    for number in range(ticks):
        spool.put(row(number))
    spool.end(success)
    return path


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


def test_spools_of_another_body_are_named_and_block_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "data-spools"
    other = spooled(folder / "000000.spool", 7, body="crane")
    spooled(folder / "000001.part", 3)
    with Recorder(tmp_path / "data", SPEC) as recorder:
        said = caplog.text
        recorder.begin()
        episode(recorder, 5)
        recorder.end(True, "done")
    assert f"{other}: 7 ticks" in said
    assert "body crane instead of nut-station" in said
    assert "record 'crane' into OTHER" in said
    assert "1 of its episodes, 3 ticks, are added\n" in said
    lengths = [record.length for record in LeRobotDataset.open(tmp_path / "data").metadata.episodes]
    assert lengths == [3, 5]
    assert list(folder.iterdir()) == [other]


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
    assert peak_bytes < image_bytes / 4


class StuckDisk:
    """Rows wait until it moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.moves = threading.Event()
        parts = RowLayout.parts

        def when_it_moves(layout: RowLayout, row: Row) -> Iterator[np.ndarray]:
            self.moves.wait()
            return parts(layout, row)

        monkeypatch.setattr(RowLayout, "parts", when_it_moves)


def test_a_slow_disk_loses_nothing_and_a_stuck_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = StuckDisk(monkeypatch)
    spool = Spool(tmp_path / "slow", LAYOUT, 40 * LAYOUT.dtype.itemsize)
    for number in range(40):
        spool.put(row(number))  # returns, although nothing can be written yet
    with pytest.raises(SpoolError, match="keeps up"):
        spool.put(row(40))
    disk.moves.set()
    spool.end(None)
    found = read_spool(tmp_path / "slow")
    assert found is not None
    assert (len(found.rows), found.success, found.cut) == (40, None, False)


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
        recorder.end(None, "the disk")
        recorder.begin()
        episode(recorder, 5)
        recorder.end(True, "done")
    dataset = LeRobotDataset.open(tmp_path / "data")
    assert [len(dataset.table(index).stamps) for index in range(2)] == [12, 5]


def test_an_end_that_is_interrupted_still_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = StuckDisk(monkeypatch)
    with Recorder(tmp_path / "data", SPEC) as recorder:
        recorder.begin()
        episode(recorder, 9)
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        threading.Timer(0.4, disk.moves.set).start()
        with pytest.raises(KeyboardInterrupt):
            recorder.end(True, "done")
    table = LeRobotDataset.open(tmp_path / "data").table(0)
    assert len(table.stamps) == 9
    assert (table.extras[SUCCESS] == 1).all()


def test_a_row_that_cannot_be_written_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RowLayout, "parts", lambda *_: iter([object()]))
    spool = Spool(tmp_path / "odd", LAYOUT, 1 << 20)
    spool.put(row())
    with pytest.raises(SpoolError, match="object"):
        spool.end(True)


ODD = {
    "images": {"images": {"top": np.zeros((2, 2, 3), np.uint8)}},
    "a capture time": {"image_stamps": dict.fromkeys(row().image_stamps, np.inf)},
    "state": {"state": np.full(len(SPEC.slots), np.nan, np.float32)},
    "planned": {"planned": np.zeros(3, np.float32)},
    "touch": {"touch": np.zeros(2, np.float32)},
    "instruction": {"instruction": "Hold. " * 200},
}


@pytest.mark.parametrize("what", ODD)
def test_what_no_dataset_would_take_is_refused_on_its_tick(tmp_path: Path, what: str) -> None:
    spool = Spool(tmp_path / "odd", LAYOUT, 1 << 20)
    spool.put(row())
    with pytest.raises(RowError, match=what):
        spool.put(replace(row(1), **ODD[what]))
    with pytest.raises(SpoolError, match="every 0.0333 s, tick 1"):
        spool.put(row(3))
    spool.end(None)


def test_a_kill_before_the_first_row_leaves_nothing_to_mend(tmp_path: Path) -> None:
    folder = tmp_path / "data-spools"
    folder.mkdir()
    (folder / "000000.part").touch()
    spooled(folder / "000001.part", 0)
    with Recorder(tmp_path / "data", SPEC):
        assert not list(folder.glob("[0-9]*"))


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


def test_what_a_kill_cut_off_is_left_out(tmp_path: Path) -> None:
    path = spooled(tmp_path / "cut", 3)
    whole = path.read_bytes()
    row_bytes = LAYOUT.dtype.itemsize
    start = len(whole) - 9 - 3 * row_bytes
    for size, ticks in ((len(whole) - 1, 3), (len(whole) - 10, 2), (start + row_bytes, 1)):
        path.write_bytes(whole[:size])
        found = read_spool(path)
        assert found is not None
        assert (len(found.rows), found.success, found.cut) == (ticks, None, True)
    for size in (0, 5, 15, 40, start, start + row_bytes - 1):
        path.write_bytes(whole[:size])
        assert read_spool(path) is None
    path.write_bytes(b"something else")
    with pytest.raises(SpoolError, match="another file"):
        read_spool(path)
