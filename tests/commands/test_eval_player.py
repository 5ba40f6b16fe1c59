"""A checkpoint's server: found behind whatever it prints, read to its end, gone with its runner."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from takt.benchmarks.suites.players import Served
from takt.commands.eval_player import Manner, player_named

MANNER = Manner(mode="sync", latency_ms=0.0, grey=False)
NOISY = """#!/bin/sh
echo 'a library has something to say'
echo 'takt serve: nano for 1 robot line on ws://127.0.0.1:7'
head -c 300000 /dev/zero | tr '\\0' x
touch {done}
exec sleep 60
"""
KILLED = """
import os
from collections.abc import Callable
from pathlib import Path
from takt.commands.eval_player import _server
with _server(Path("hold"), "fake_suite:SPEC", 1) as uri:
    print(uri, flush=True)
    os.kill(os.getpid(), 9)
"""


def test_a_server_may_print_what_it_likes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script, done = tmp_path / "noisy", tmp_path / "done"
    script.write_text(NOISY.format(done=done))
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    (checkpoint := tmp_path / "checkpoint").mkdir()
    with player_named(str(checkpoint), MANNER, body="line", robots=1) as seated:
        assert isinstance(seated.player, Served)
        assert seated.player.uri == "ws://127.0.0.1:7"
        assert _soon(done.exists), "its output fills the pipe and it waits for ever"


def test_no_server_outlives_its_killed_runner() -> None:
    path = os.pathsep.join([str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    found = subprocess.run(
        [sys.executable, "-c", KILLED],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
        timeout=120,
    )
    assert found.returncode == -signal.SIGKILL
    port = int(found.stdout.split(":")[-1])
    assert _soon(lambda: not _listens(port))


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _soon(true: Callable[[], bool]) -> bool:
    until = time.monotonic() + 15
    while not true() and time.monotonic() < until:
        time.sleep(0.05)
    return true()
