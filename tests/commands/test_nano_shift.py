"""`takt shift` with the shipped policy in its own process: one real end-to-end run."""

import json
from pathlib import Path

import numpy as np
import pytest

from takt.benchmarks.store import read_shift
from takt.cli import main

pytest.importorskip("mujoco")
pytest.importorskip("torch")


def shift(capsys: pytest.CaptureFixture[str], out: Path) -> dict:
    argv = ["shift", "--cycles", "1", "--seed", "1000003", "--out", str(out), "--json"]
    assert main(argv) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_shipped_policy_works_without_stalling_and_repeats_bit_for_bit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = shift(capsys, tmp_path / "a")
    shift(capsys, tmp_path / "b")
    assert first["stalls"] == 0
    assert first["latency_ms"] == 80
    assert (first["both"]["n"], first["both"]["k"]) == (1, 1)
    _, (one,) = read_shift(tmp_path / "a")
    _, (other,) = read_shift(tmp_path / "b")
    np.testing.assert_array_equal(one.actions, other.actions)
    assert len(np.unique(one.chunk)) > 10
    assert one.outcomes == other.outcomes
