"""Pieces of work in several processes."""

import os
import signal
import subprocess
import sys
import time

from interrupts import hear_interrupts

from takt.recipes.executors import Processes, execute


def begin_slowly():
    """A worker that is not done before the test is."""

    def work(piece):
        print("begun", flush=True)
        time.sleep(60)

    return work


def test_ctrl_c_waits_for_no_piece():
    code = "import test_executors as pieces; pieces.work_until_interrupted()"
    paths = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
        start_new_session=True,
        preexec_fn=hear_interrupts,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "begun\n"
        os.killpg(child.pid, signal.SIGINT)
        out, err = child.communicate(timeout=20)
    finally:
        child.kill()
    assert (out, err) == ("interrupted\n", "")


def work_until_interrupted():
    """What the child does."""
    try:
        list(execute(Processes(1), begin_slowly, range(3)))
    except KeyboardInterrupt:
        print("interrupted")
