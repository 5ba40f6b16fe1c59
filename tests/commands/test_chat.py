"""`takt chat` with the shipped checkpoint: it has no words of its own, but it prints some."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from takt.benchmarks.checkpoint import packaged_checkpoint
from takt.cli import main

DATA = Path(__file__).parents[1] / "data"

pytest.importorskip("torch")
image_module = pytest.importorskip("PIL.Image")


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "odd.png"
    image_module.fromarray(np.full((33, 50), 90, np.uint8)).save(path)  # grey, odd sides
    return str(path)


def test_an_answer_streams_and_is_the_same_as_json(picture, capsys):
    argv = ["chat", "--image", picture, "What is this?", "--max-tokens", "5"]
    argv += ["--temperature", "50", "--seed", "4"]  # so hot that any word may come
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
        ([picture, "--checkpoint", str(tmp_path / "no")], f"{tmp_path / 'no'} is not there"),
        ([picture, "--checkpoint", picture], "is a file, not a folder"),
        ([picture, "--checkpoint", str(DATA / "lerobot/v21_image_0.3.2")], "LeRobot dataset"),
        ([picture, "--checkpoint", str(DATA / "parity/hf_release")], "a recorded case"),
        ([str(tmp_path / "none.png")], "none.png"),
    ):
        assert main(["chat", "why?", "--image", *argv]) == 2
        assert message in capsys.readouterr().err


def test_a_question_and_an_image_are_needed(picture, capsys):
    for argv, message in ((["why?"], "at least one image"), ([" ", "--image", picture], "empty")):
        assert main(["chat", *argv]) == 2
        shown = capsys.readouterr().err
        assert message in shown
        assert "nano" not in shown  # refused before anything is opened
    with pytest.raises(SystemExit):
        main(["chat", "--help"])
    assert "at least one is needed" in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_only_who_learnt_from_text_is_taken_at_its_word(picture, tmp_path, capsys):
    folder = shutil.copytree(packaged_checkpoint("nano_station"), tmp_path / "mine")
    config = json.loads((folder / "config.json").read_text())
    for has_words in (None, False, True):
        if has_words is not None:
            config["takt"]["has_words"] = has_words
            (folder / "config.json").write_text(json.dumps(config))
        argv = ["chat", "why?", "--image", picture, "--max-tokens", "1"]
        assert main([*argv, "--checkpoint", str(folder)]) == 0
        said = f"{folder} was trained to act, not to talk" in capsys.readouterr().err
        assert said == (has_words is not True)


def test_an_answer_without_words_says_so(picture, monkeypatch, capsys):
    monkeypatch.setattr("takt.policies.xr0.chat.Chat.answer", lambda *rest: iter(()))
    assert main(["chat", "why?", "--image", picture, "--json"]) == 0
    shown = capsys.readouterr()
    assert "the answer is empty" in shown.err
    assert json.loads(shown.out.splitlines()[-1]) == {"text": ""}
