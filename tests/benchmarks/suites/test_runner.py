"""Trials are played once each, whatever dies meanwhile."""

from pathlib import Path

import numpy as np
import pytest
from fake_suite import Line, command

from takt.benchmarks.suites.players import Expert, Hold, Player, Random, Replay
from takt.benchmarks.suites.runner import Run, play, probe
from takt.benchmarks.suites.store import RunConfig, RunStore, read_run
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
