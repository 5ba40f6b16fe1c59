"""The batching benchmark's two sides give the same plans."""

import json

import batching
from command import run


def test_its_last_line_holds_the_claims(capsys):
    assert batching.main(batching.Config(robots=2, repeats=2, warm_ups=0, json=True)) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["max_abs_diff"] < 1e-5
    assert min(report["singles_ms"], report["batch_ms"], report["singles_to_batch"]) > 0


def test_no_robots_are_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["batching.py", "--robots", "0"])
    assert run(batching.main, batching.Config) == 2
    assert "--robots" in capsys.readouterr().err
