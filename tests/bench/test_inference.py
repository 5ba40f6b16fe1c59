"""The inference benchmark measures two sides that give the same chunk."""

import json

import inference


def test_its_last_line_holds_the_claims(capsys):
    config = inference.Config(
        device="cpu", preset=("nano",), repeats=2, warm_ups=0, horizon=4, json=True
    )
    assert inference.main(config) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["max_abs_diff"] < 1e-5
    assert report["dit_loop_speedup"] > 0
    assert report["full_speedup"] > 0
    assert report["refresh_ratio"] > 0


def test_codes_of_eight_bits_differ_and_not_by_much(capsys):
    config = inference.Config(
        device="cpu", preset=("nano",), repeats=1, warm_ups=0, quantise="int8", json=True
    )
    assert inference.main(config) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert 1e-5 < report["max_abs_diff"] < 0.5
