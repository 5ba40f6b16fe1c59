"""The inference benchmark measures two sides that give the same chunk."""

import json
import os
import resource

import inference
import numpy as np
import pytest
import torch
from command import run
from inference_sides import prepare

from takt.types import TaktError


def measured(capsys, **options):
    config = inference.Config(device="cpu", preset=("nano",), warm_ups=0, json=True, **options)
    assert inference.main(config) == 0
    printed = capsys.readouterr()
    return json.loads(printed.out.splitlines()[-1]), printed.err


def test_its_last_line_holds_the_claims(capsys):
    report, said = measured(capsys, repeats=2, horizon=4)
    assert report["max_abs_diff"] < 1e-5
    ours, theirs = (
        {stage: times["p50"] for stage, times in report[side].items()}
        for side in ("ours_ms", "released_ms")
    )
    assert report["full_speedup"] == pytest.approx(theirs["full"] / ours["full"])
    assert report["dit_loop_speedup"] == pytest.approx(theirs["DiT loop"] / ours["DiT loop"])
    assert report["refresh_ratio"] == pytest.approx(ours["full"] / ours["DiT loop"])
    assert ours["full"] > max(ours[stage] for stage in ("vision", "language", "DiT loop"))
    assert set(report["roofline_share"]) == set(ours) - {"full"}
    assert all(0 < share < 1.5 for share in report["roofline_share"].values())
    assert "nano: 0 + 2 rounds" in said


@pytest.mark.parametrize("mode", ["int8", "int8-w8a8", "fp8-w8a8"])
def test_codes_of_eight_bits_differ_and_not_by_much(mode, capsys):
    report, _ = measured(capsys, repeats=1, horizon=4, quantise=mode)
    assert 1e-5 < report["max_abs_diff"] < 0.5
    assert report["quantise"] == mode


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="cannot be reset")
def test_the_peak_is_of_ours_and_not_of_what_came_before():
    device = torch.device("cpu")
    sides = prepare("nano", device, views=1, horizon=4, steps=1, mode=None, compiled=False)
    before = np.ones(1 << 29, np.uint8)
    del before
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert 1e8 < inference.peak_memory(sides) < highest - (1 << 28)


@pytest.mark.parametrize(
    "options",
    [
        {"views": 0},
        {"views": 4},
        {"horizon": 0},
        {"horizon": -1},
        {"threads": 0},
        {"steps": 0},
        {"repeats": 0},
        {"warm_ups": -1},
    ],
)
def test_numbers_that_make_no_measurement_are_refused(options):
    (name,) = options
    with pytest.raises(TaktError, match=f"--{name.replace('_', '-')}.*got {options[name]}"):
        inference.Config(device="cpu", **options)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--preset", "huge"], "nano, cpu-bench, 4.7b"),
        (["--device", "cuda"], "expected a GPU"),
    ],
)
def test_what_is_not_here_is_one_line(argv, says, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["bench/inference.py", *argv])
    assert run(inference.main, inference.Config) == 2
    printed = capsys.readouterr().err
    assert says in printed
    assert printed.count("\n") == 1


def test_what_is_not_asked_for_takes_its_default():
    config = inference.Config(device="cpu", warm_ups=0)
    assert config.rounds == (0, 20)
