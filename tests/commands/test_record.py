"""`takt record` as a user sees it."""

import sys

import pytest

from takt.cli import main
from takt.recipes import demonstrations
from takt.recipes.demonstrations import Recorded


@pytest.fixture
def recorder(monkeypatch):
    """Records nothing, and reports 25 episodes."""

    def record(root, episodes, seed, workers, report):
        for done in range(1, 26):
            report(done, done + 1)
        return Recorded(25, 1)

    monkeypatch.setattr(demonstrations, "record", record)


ARGV = ["record", "nut-station", "--episodes", "25", "--out", "somewhere"]


def test_a_pipe_gets_few_lines(recorder, capsys):
    assert main([*ARGV, "--json"]) == 0
    shown = capsys.readouterr()
    assert shown.err.splitlines() == [
        "episodes 1/25 (seed 2)",
        "episodes 25/25 (seed 26)",
    ]
    assert shown.out.splitlines()[-1] == '{"episodes": 25, "failed": 1}'


def test_a_terminal_gets_a_bar(recorder, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(ARGV) == 0
    shown = capsys.readouterr()
    assert "25/25" in shown.err
    assert shown.out == "25 episodes, 1 attempts failed and skipped: somewhere\n"


@pytest.mark.parametrize("option", ["--episodes", "--workers"])
def test_a_number_below_one_is_refused(option, tmp_path, capsys):
    out = tmp_path / "data"
    argv = ["record", "nut-station", "--episodes", "1", "--out", str(out), option, "0"]
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert said.startswith("takt record: expected at least 1")
    assert f"got {option} 0" in said
    assert not out.exists()


@pytest.mark.parametrize("below", ["", "demos"])
def test_a_file_is_no_folder(below, tmp_path, capsys):
    path = tmp_path / "thesis.tex"
    path.write_text("")
    argv = ["record", "nut-station", "--episodes", "1", "--out", str(path / below)]
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert error.startswith("takt record: ")
    assert str(path) in error
    assert "choose another path" in error
