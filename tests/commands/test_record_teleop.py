"""A human at a terminal drives a body from the first tick, and judges the episode."""

import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from takt.datasets.lerobot import LeRobotDataset
from takt.runtime.spooled_episodes import AUTHORITY, SUCCESS

BODY = str(Path(__file__).parents[2] / "examples/03_new_body.py") + ":DeskArm"


def test_keys_drive_a_body_into_a_dataset(tmp_path: Path) -> None:
    out, (ours, theirs) = tmp_path / "demos", pty.openpty()
    command = [sys.executable, "-m", "takt.cli", "record", BODY, "--teleop", "keyboard"]
    command += ["--episodes", "1", "--out", str(out), "--seconds", "30"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(
        command, stdin=theirs, stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as child:
        assert child.stderr is not None
        while b"takt run:" not in (line := child.stderr.readline()):
            assert line, "it never began"
        for key in b"+++++":
            os.write(ours, bytes([key]))
            time.sleep(0.05)
        time.sleep(0.3)
        os.write(ours, b"g")
        said = child.stderr.read()
        assert child.wait(30) == 0, said
    os.close(ours)
    os.close(theirs)
    (episode,) = [LeRobotDataset.open(out).table(0)]
    assert (episode.extras[AUTHORITY] == 2).all(), "in the human's hands throughout"
    assert (episode.extras[SUCCESS] == 1).all()
    moved = episode.actions[-1] - episode.actions[0]
    assert moved[0] > 0.02
    np.testing.assert_array_equal(moved[1:], 0)
