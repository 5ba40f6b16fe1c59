"""Trials are played once each, whatever dies meanwhile."""

import _thread
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_suite import Line, Track, command

from takt.benchmarks.player import Expert, Hold
from takt.benchmarks.suites import runner
from takt.benchmarks.suites.pipe import Crashed, Message, Ready, Working, send
from takt.benchmarks.suites.players import Player, Random, Replay, take_seat
from takt.benchmarks.suites.runner import Run, Simulator, play, probe
from takt.benchmarks.suites.store import RunConfig, RunStore, read_run, read_trial
from takt.benchmarks.suites.suite import Played, SuiteError, Trial


def run(line: Line, player: Player, workers: int = 2) -> Run:
    return Run(suite=line, player=player, command=command(), workers=workers)


def config(player: str = "expert") -> RunConfig:
    return RunConfig(
        suite="line",
        options={"tasks": ("far", "near")},
        label="line",
        player=player,
        player_digest="",
        versions={"line": "1"},
        takt_version="0",
        code_digest="0",
    )


def played(folder: Path, line: Line, player: Player) -> tuple[list[Played], list[Trial]]:
    told: list[Trial] = []
    with RunStore(folder, config()) as store:
        return play(run(line, player), store, lambda each: told.append(each.trial)), told


def test_trials_are_played_once_and_a_second_run_finds_them(tmp_path: Path) -> None:
    found, told = played(tmp_path, Line(), Expert())
    assert [each.trial for each in found] == Line().trials()
    assert all(each.stages == 1 and each.steps == 6 and each.attempts == 1 for each in found)
    assert sorted(t.key for t in told) == sorted(t.key for t in Line().trials())
    again, _ = played(tmp_path, Line(dies="far-0000"), Expert())
    assert [each.steps for each in again] == [each.steps for each in found], "nothing is run again"
    assert len(read_run(tmp_path)[1]) == 6


def test_a_dead_simulator_costs_an_attempt_and_then_the_trial(tmp_path: Path) -> None:
    once = Line(dies="near-0001", mark=str(tmp_path / "died"))
    found, _ = played(tmp_path / "once", once, Expert())
    assert [each.attempts for each in found] == [1, 1, 1, 1, 2, 1]
    assert all(each.stages == 1 for each in found)
    always, _ = played(tmp_path / "always", Line(dies="near-0001"), Expert())
    assert [each.stages for each in always] == [1, 1, 1, 1, 0, 1]
    assert "died" in (always[4].error or "")


def test_what_a_user_must_mend_ends_the_run_and_keeps_what_is_done(tmp_path: Path) -> None:
    line = Line(tasks=("far", "missing"))
    with RunStore(tmp_path, config()) as store, pytest.raises(SuiteError, match="get them"):
        play(run(line, Expert(), workers=1), store, lambda each: None)
    assert len(read_run(tmp_path)[1]) == 3


def test_players_without_weights(tmp_path: Path) -> None:
    assert probe(run(Line(), Hold())) == {"line": "1"}
    held, _ = played(tmp_path / "hold", Line(), Hold())
    assert all(each.stages == 0 and each.steps == 10 for each in held)
    dice, _ = played(tmp_path / "random", Line(), Random())
    again, _ = played(tmp_path / "replay", Line(), Replay(str(tmp_path / "random")))
    for one, other in zip(dice, again, strict=True):
        assert one.actions is not None
        assert other.actions is not None
        assert (one.actions == other.actions).all()
        assert len(np.unique(one.actions)) == 10
    with pytest.raises(SuiteError, match="run it first"):
        played(tmp_path / "none", Line(), Replay(str(tmp_path / "nothing")))


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    played(tmp_path, Line(), Expert())
    with pytest.raises(SuiteError, match="choose a new --out"):
        RunStore(tmp_path, config(player="hold"))


def test_a_run_is_the_same_wherever_its_assets_lie(tmp_path: Path) -> None:
    here, there = (replace(config(), options={"assets": place, "n": (1, 2)}) for place in "ab")
    with RunStore(tmp_path, here) as store:
        store.save(of(Line().trials()[0]))
    RunStore(tmp_path, there).close()


def test_a_folder_that_lost_its_config_is_said_to_be_one(tmp_path: Path) -> None:
    with RunStore(tmp_path, config()) as store:
        store.save(of(Line().trials()[0]))
    (tmp_path / "config.json").unlink()
    with pytest.raises(SuiteError, match="but not the config.json"):
        RunStore(tmp_path, config())


def of(trial: Trial, steps: int = 1) -> Played:
    actions = np.zeros((steps, 1), np.float32)
    return Played(trial=trial, stages=0, steps=steps, stalls=0, cpu_s=0.0, actions=actions)


def test_a_replay_needs_the_same_trials_and_may_have_none_of_no_length(tmp_path: Path) -> None:
    line = Line(tasks=("near",))
    with RunStore(tmp_path / "tape", config()) as store:
        for trial in line.trials():
            store.save(of(trial, steps=0))
    tape = Replay(str(tmp_path / "tape"))
    seat = take_seat(tape, Track(line), line.trials()[0])  # of no use, where a trial begins solved
    scene = Track(line)
    scene.reset(line.trials()[0])
    with pytest.raises(SuiteError, match="without a step"):
        seat.worker.submit(scene.observe(), None)
    other = replace(line.trials()[0], seed=77)
    with pytest.raises(SuiteError, match="other options"):
        read_trial(tmp_path / "tape", other)


def test_ctrl_c_ends_a_simulator_that_still_starts(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    line = Line(hangs=True, mark=str(mark))

    def interrupt() -> None:
        until = time.monotonic() + 60
        while not mark.exists() and time.monotonic() < until:
            time.sleep(0.02)
        _thread.interrupt_main()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # nohup leaves it ignored
    try:
        threading.Thread(target=interrupt, daemon=True).start()
        with RunStore(tmp_path, config()) as store, pytest.raises(KeyboardInterrupt):
            play(run(line, Expert(), workers=1), store, lambda each: None)
    finally:
        signal.signal(signal.SIGINT, before)
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


def test_a_simulator_that_asks_a_question_crashes_instead_of_waiting() -> None:
    line = Line(tasks=("near",), asks=True)
    with Simulator(run(line, Expert())) as simulator:
        simulator.begin()
        found = simulator.play(line.trials()[0])
    assert isinstance(found, Crashed)
    assert "EOF" in found.text


def test_only_silence_is_a_hang(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trial = Line().trials()[0]
    steps: list[tuple[float, Message]] = [(0.0, Ready({})), *[(0.3, Working())] * 4]
    with Simulator(puppet(tmp_path, [*steps, (0.3, of(trial))])) as simulator:
        simulator.begin()
        monkeypatch.setattr(runner, "SILENCE_S", 1.0)
        assert isinstance(simulator.play(trial), Played), "it took longer, but it went on"
    monkeypatch.undo()
    with Simulator(puppet(tmp_path, [*steps[:1], (60.0, of(trial))])) as simulator:
        simulator.begin()
        monkeypatch.setattr(runner, "SILENCE_S", 0.2)
        found = simulator.play(trial)
    assert isinstance(found, Crashed)
    assert "0.2 s" in found.text


def test_a_simulator_that_cannot_start_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"status 3\); .*run the same command again"):
        probe(puppet(tmp_path, []))


def puppet(folder: Path, says: list[tuple[float, Message]]) -> Run:
    """A process that says what it is told to, after so many seconds each, and ends."""
    code = "import os, sys, time\n"
    for number, (pause, message) in enumerate(says):
        with (folder / f"said-{number}").open("wb") as file:
            send(file, message)
        said = (folder / f"said-{number}").read_bytes()
        code += f"time.sleep({pause}); os.write(1, {said!r})\n"
    asked = [sys.executable, "-S", "-E", "-c", f"{code}sys.exit(3)"]
    return Run(suite=Line(), player=Expert(), command=asked, workers=1)
