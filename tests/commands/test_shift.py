"""`takt shift` on the real station, driven by its scripted expert."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from interrupts import hear_interrupts

from takt.benchmarks.store import read_shift
from takt.cli import main

pytest.importorskip("mujoco")


def shift(capsys: pytest.CaptureFixture[str], out: Path, *options: str) -> dict:
    argv = ["shift", "--policy", "expert", "--cycles", "2", "--out", str(out), "--json", *options]
    assert main(argv) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_expert_shift_is_reported_and_repeats_bit_for_bit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = shift(capsys, tmp_path / "a")
    second = shift(capsys, tmp_path / "b", "--beside", str(tmp_path / "a"))
    assert first["both"]["k"] == 2
    assert first["idle_share"] == first["stalls"] == first["interventions"] == 0
    assert 40 < first["cycle_s"]["p50"] < 76
    assert "Side by side" in (tmp_path / "b" / "report.html").read_text()
    _, ours = read_shift(tmp_path / "a")
    _, theirs = read_shift(tmp_path / "b")
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one.actions, other.actions)
        assert one.outcomes == other.outcomes
    assert second["cycle_s"] == first["cycle_s"]
    assert "beside" not in first
    assert second["beside"] == {"seeds": 2, "mcnemar_p": 1.0}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--policy", "nowhere"], "config.json"),
        (["--policy", "hold", "--latency-ms", "900"], "d <= T_e"),
        (["--policy", "hold", "--cycles", "0"], "at least one cycle"),
        (["--policy", "hold", "--seed", "-1"], "at least 0"),
        (["--policy", "expert", "--grey"], "--grey"),
        (["--policy", "nano", "--seed", "7"], "evaluation seeds"),
        (["--policy", "hold", "--beside", "nowhere"], "expected a shift"),
        (["--mode", "eager"], "eager"),
    ],
)
def test_bad_input_is_named_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    out = tmp_path / "out"
    try:
        status = main(["shift", "--out", str(out), *options])
    except SystemExit as stopped:  # tyro's own refusal of an unknown choice
        status = stopped.code
    assert status == 2
    assert says in capsys.readouterr().err
    assert not out.exists()


def test_an_interrupted_shift_says_what_it_keeps(tmp_path: Path) -> None:
    argv = ["shift", "--policy", "expert", "--cycles", "50", "--out", str(tmp_path)]
    code = "import sys; from takt.cli import main; sys.exit(main(sys.argv[1:]))"
    child = subprocess.Popen(
        [sys.executable, "-c", code, *argv],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("cycles/*.msgpack")) and child.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=30)
    kept = len(list(tmp_path.glob("cycles/*.msgpack")))
    assert child.returncode == 130
    assert f"{kept} of 50 cycles are kept" in said


def test_an_impossible_folder_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["shift", "--policy", "hold", "--cycles", "1", "--out", "/dev/null/shift"]
    assert main(argv) == 2
    assert "/dev/null" in capsys.readouterr().err
