"""Recording: one dataset whatever the interruptions, from training seeds only."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from attempts import TICKS, first_ticks
from interrupts import hear_interrupts

from takt.datasets.errors import MissingVideoError
from takt.datasets.lerobot import LeRobotDataset
from takt.recipes.demonstrations import record
from takt.seeds import VALIDATION_BEGIN, SeedError
from takt.simulation.nut_station.annotation import POINTS_KEY
from takt.simulation.nut_station.demonstration import PLAN_KEY, SEED_KEY
from takt.types import TaktError

CHILD = """
import sys
from pathlib import Path
from attempts import first_ticks
from takt.recipes.demonstrations import record

if __name__ == "__main__":
    report = lambda done, seed: print(done, seed, flush=True)
    record(Path(sys.argv[1]), 50, 0, 1, report, first_ticks)
"""


INTERRUPTED = """
import functools, sys
from attempts import endless_second
from takt.cli import main
from takt.recipes import demonstrations

if __name__ == "__main__":
    demonstrations.record = functools.partial(demonstrations.record, attempt=endless_second)
    sys.exit(main(["record", "nut-station", "--episodes", "5", "--out", sys.argv[1]]))
"""


def grow(root, episodes, seeds=None):
    seen = [] if seeds is None else seeds
    return record(root, episodes, 0, 1, lambda done, seed: seen.append(seed), first_ticks)


def tables(root):
    dataset = LeRobotDataset.open(root)
    return [dataset.table(index) for index in range(len(dataset))]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a.state, b.state)
        np.testing.assert_array_equal(a.actions, b.actions)
        for key in (POINTS_KEY, PLAN_KEY, SEED_KEY):
            np.testing.assert_array_equal(a.extras[key], b.extras[key])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A dataset of three episodes recorded in one go."""
    root, seeds = tmp_path_factory.mktemp("whole"), []
    recorded = grow(root, 3, seeds)
    assert seeds == [0, 2, 3]  # in order; seed 1 failed and was skipped
    assert (recorded.episodes, recorded.failed) == (3, 1)
    return root


def test_every_tick_is_there(whole):
    assert [len(table.state) for table in tables(whole)] == [TICKS] * 3


def test_what_is_complete_is_left_alone(whole):
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*.parquet")}
    assert grow(whole, 3).episodes == 3
    after = {path: path.stat().st_mtime_ns for path in whole.rglob("*.parquet")}
    assert {k: v for k, v in before.items() if "data" in k.parts} == {
        k: v for k, v in after.items() if "data" in k.parts
    }


def alive(session):
    """Processes of a session that run."""
    stats = [stat_of(path) for path in Path("/proc").glob("[0-9]*/stat")]
    return [stat for stat in stats if stat and int(stat[3]) == session and stat[0] != "Z"]


def stat_of(path):
    try:
        return path.read_text().rpartition(")")[2].split()
    except OSError:
        return []


def dies_out(session):
    """Processes end a moment after the one that started them; none may stay."""
    deadline = time.monotonic() + 20
    while alive(session) and time.monotonic() < deadline:
        time.sleep(0.05)
    return alive(session) == []


def started(script, *argv):
    """A child of its own session that can import tests/attempts.py."""
    paths = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, str(script), *map(str, argv)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=hear_interrupts,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )


def test_a_killed_recording_leaves_no_worker_and_goes_on_to_the_same_dataset(whole, tmp_path):
    root, script = tmp_path / "data", tmp_path / "child.py"
    script.write_text(CHILD)
    child = started(script, root)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "1 0\n"
        assert len(alive(child.pid)) >= 2
        child.kill()
        child.wait()
        assert dies_out(child.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    done = len(LeRobotDataset.open(root))
    assert 1 <= done < 50
    grow(root, max(3, done))
    assert_same(tables(root)[:3], tables(whole))


def test_ctrl_c_waits_for_no_attempt(tmp_path):
    root, script = tmp_path / "data", tmp_path / "child.py"
    script.write_text(INTERRUPTED)
    child = started(script, root)
    try:
        deadline = time.monotonic() + 60
        while not list(root.glob("meta/episodes/*/*.parquet")):
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(child.pid, signal.SIGINT)
        _, shown = child.communicate(timeout=60)
        assert child.returncode == 130
        assert "interrupted; 1 of 5 episodes are kept" in shown
        assert "Traceback" not in shown
        assert dies_out(child.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


@pytest.mark.parametrize(("episodes", "workers"), [(0, 1), (-1, 1), (1, 0), (1, 1000)])
def test_nothing_is_made_for_a_bad_number(tmp_path, episodes, workers):
    with pytest.raises(TaktError, match=r"at least 1.*got --(episodes|workers)"):
        record(tmp_path / "data", episodes, 0, workers, lambda done, seed: None, first_ticks)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("seed", "episodes"), [(VALIDATION_BEGIN, 1), (VALIDATION_BEGIN - 1, 2)])
def test_only_training_seeds_are_recorded(tmp_path, seed, episodes):
    with pytest.raises(SeedError, match="training"):
        record(tmp_path, episodes, seed, 1, lambda done, seed: None, first_ticks)
    assert list(tmp_path.iterdir()) == []


def test_another_first_seed_is_refused(tmp_path):
    root = tmp_path / "data"
    grow(root, 1)
    with pytest.raises(TaktError, match="seed: 0, now 7"):
        record(root, 2, 7, 1, lambda done, seed: None, first_ticks)


def test_a_damaged_dataset_is_not_grown(tmp_path):
    root = tmp_path / "data"
    grow(root, 1)
    next(root.glob("videos/*/*/*.mp4")).unlink()
    with pytest.raises(MissingVideoError):
        grow(root, 2)
    assert len(LeRobotDataset.open(root)) == 1
