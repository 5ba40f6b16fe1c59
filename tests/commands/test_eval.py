"""`takt eval`: a real checkpoint, small files."""

import json

import pytest

from takt.cli import main

pytest.importorskip("torch")
from vl_files import pope_rows, write_parquet  # noqa: E402

from takt.benchmarks.checkpoint import packaged_checkpoint  # noqa: E402

POLICY = str(packaged_checkpoint("nano_station"))


@pytest.fixture
def data(tmp_path):
    return str(write_parquet(tmp_path / "pope.parquet", pope_rows(3)))


def test_a_benchmark_is_asked_and_not_asked_again(data, tmp_path, capsys, monkeypatch):
    argv = ["eval", "vl", "--policy", POLICY, "--benchmark", "pope", "--data", data]
    argv += ["--out", str(tmp_path / "out"), "--max-tokens", "2", "--json"]
    assert main([*argv, "--limit", "1"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["questions"] == 1
    assert main(argv) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found == json.loads((tmp_path / "out/pope/summary.json").read_text())
    assert (found["questions"], found["score"]["n"], found["chance"]) == (3, 3, 0.5)
    assert set(found["further"]) == {"f1", "precision", "recall", "yes_ratio"}
    monkeypatch.delattr("takt.policies.xr0.chat.Chat.load")
    assert main(argv[:-1]) == 0
    printed = capsys.readouterr().out
    assert "POPE: 0.0 % (95 % 0.0-56.1) of 3, chance 50.0 %" in printed
    assert "3 of 9000 samples" in printed


def test_a_question_the_backbone_refuses_is_left_out_by_wish(tmp_path, capsys):
    rows = pope_rows(2)
    rows[0]["question"] = "Is <|image_pad|> in the image?"
    data = write_parquet(tmp_path / "pope.parquet", rows)
    argv = ["eval", "vl", "--policy", POLICY, "--benchmark", "pope", "--data", str(data)]
    argv += ["--out", str(tmp_path / "out"), "--max-tokens", "2"]
    assert main(argv) == 2
    assert "pope.parquet, row 1:" in capsys.readouterr().err
    assert main([*argv, "--skip-bad"]) == 0
    assert "skipped 1 damaged rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"--benchmark": "popo"}, "expected one of erqa, seed, pope"),
        ({"--limit": "0"}, "--limit of at least 1"),
        ({"--policy": "nowhere"}, "the folder of a checkpoint"),
        ({"--data": "nowhere.tsv"}, "nowhere.tsv"),
    ],
)
def test_bad_requests_exit_with_a_message(change, says, data, capsys):
    options = {"--policy": POLICY, "--benchmark": "pope", "--data": data} | change
    assert main(["eval", "vl", *(text for pair in options.items() for text in pair)]) == 2
    assert says in capsys.readouterr().err
