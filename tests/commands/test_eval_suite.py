"""`takt eval SUITE` from its options to its reports; the simulator is a fake one."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fake_suite import Line, command, register

from takt.benchmarks.suites import registry
from takt.commands.eval_compare import Compare, run_compare
from takt.commands.eval_suite import Options, run_suite
from takt.types import TaktError


@pytest.fixture(autouse=True)
def suite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "SUITES", dict(registry.SUITES))
    register()
    monkeypatch.setattr(
        "takt.benchmarks.suites.environment.command_in", lambda suite, module: command()
    )


def evaluate(capsys: pytest.CaptureFixture[str], line: Line, options: Options) -> dict[str, Any]:
    assert run_suite(line, options) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_run_is_reported_resumed_and_compared(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked = Options(player="expert", workers=2, out=tmp_path / "expert", json=True)
    found = evaluate(capsys, Line(), asked)
    assert (found["label"], found["player"], found["versions"]) == ("line", "expert", {"line": "1"})
    assert (found["success"]["k"], found["success"]["n"]) == (6, 6)
    assert set(found["tasks"]) == {"far", "near"}
    assert evaluate(capsys, Line(), asked) == found, "nothing is played again"
    assert "line" in (tmp_path / "expert" / "report.html").read_text()
    still = Options(player="hold", workers=1, out=tmp_path / "hold", json=True)
    assert evaluate(capsys, Line(), still)["success"]["k"] == 0
    pair = Compare(ours=tmp_path / "expert", theirs=tmp_path / "hold", json=True)
    assert run_compare(pair) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["won"], said["lost"]) == (6, 0)


def test_a_served_policy_plays_with_its_latency(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with served() as uri:
        asked = Options(player=uri, latency_ms=200.0, workers=1, out=tmp_path, json=True, grey=True)
        found = evaluate(capsys, Line(tasks=("near",)), asked)
    assert (found["success"]["k"], found["success"]["n"]) == (0, 3)
    assert found["player"] == "hold of a server (sync, 200 ms, grey images)", "whatever its port"
    assert found["steps"] == 30


@contextmanager
def served() -> Iterator[str]:
    tests = Path(__file__).parent.parent
    path = os.pathsep.join([str(tests), os.environ.get("PYTHONPATH", "")])
    options = ["--policy", "hold", "--body", "fake_suite:SPEC", "--port", "0"]
    server = subprocess.Popen(
        [sys.executable, "-m", "takt.cli", "serve", *options],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        assert server.stdout is not None
        yield server.stdout.readline().split()[-1]
    finally:
        server.terminate()
        server.wait()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (Options(player="nobody"), "expected expert, hold, random"),
        (Options(player="expert", grey=True), "leave them out"),
        (Options(player="hold", workers=1000), "--workers"),
    ],
)
def test_what_cannot_be_played_is_said_at_once(options: Options, says: str) -> None:
    with pytest.raises(TaktError, match=says):
        run_suite(Line(), options)


def test_a_missing_environment_says_how_to_make_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("TAKT_ENVIRONMENTS", str(tmp_path))
    from takt.benchmarks.suites.environment import command_in

    with pytest.raises(TaktError, match="takt bench setup libero"):
        command_in("libero", "takt.benchmarks.suites.worker")
