"""`takt chat` with the shipped checkpoint: it has no words of its own, but it prints some."""

import json

import numpy as np
import pytest

from takt.cli import main

pytest.importorskip("torch")
image_module = pytest.importorskip("PIL.Image")


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "odd.png"
    image_module.fromarray(np.full((33, 50), 90, np.uint8)).save(path)  # grey, odd sides
    return str(path)


def test_an_answer_streams_and_is_the_same_as_json(picture, capsys):
    argv = ["chat", "--image", picture, "What is this?", "--max-tokens", "5"]
    argv += ["--temperature", "1.0", "--seed", "4"]
    assert main(argv) == 0
    streamed = capsys.readouterr()
    assert "not to talk" in streamed.err
    assert streamed.out.strip()
    assert main([*argv, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["text"] + "\n" == streamed.out


def test_bad_requests_exit_with_a_message(picture, tmp_path, capsys):
    for argv, message in (
        ([picture, "--max-tokens", "0"], "tokens of answer"),
        ([picture, "--temperature", "-1"], "temperature"),
        ([picture, "--checkpoint", str(tmp_path)], "config.json"),
        ([str(tmp_path / "none.png")], "none.png"),
    ):
        assert main(["chat", "why?", "--image", *argv]) == 2
        assert message in capsys.readouterr().err
