"""Trials are played once each, whatever dies meanwhile."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from takt.benchmarks.suites import registry
from takt.benchmarks.suites.players import Expert, Hold, Player, Random, Replay
from takt.benchmarks.suites.runner import Run, play, probe
from takt.benchmarks.suites.store import RunConfig, RunStore, read_run
from takt.benchmarks.suites.suite import Played, SuiteError, Trial
from takt.types import ActionChunk, ActionSpace, EmbodimentSpec, Observation, Policy

SPEC = EmbodimentSpec(
    name="line",
    rate_hz=10.0,
    cameras=(),
    action_space=ActionSpace(
        names=("dx",),
        units=("1",),
        low=-np.ones(1, np.float32),
        high=np.ones(1, np.float32),
        delta=(True,),
        initial=np.zeros(1, np.float32),
    ),
    slots=(0,),
    relative=(False,),
    instruction="Go right.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Reach 3 in ten steps; `dies` names a trial that ends its process, once if `mark` is given."""

    name: ClassVar[str] = "line"
    longest_chain: ClassVar[int] = 1
    label: ClassVar[str] = "line"
    notes: ClassVar[Sequence[str]] = ()
    tasks: tuple[str, ...] = ("far", "near")
    dies: str = ""
    mark: str = ""

    def trials(self) -> list[Trial]:
        return [
            Trial(task=task, index=index, seed=index, configuration=str(index))
            for task in self.tasks
            for index in range(3)
        ]

    def groups(self) -> dict[str, Sequence[str]]:
        return {}

    def versions(self) -> dict[str, str]:
        return {"line": "1"}

    def open(self, task: str) -> "Track":
        if task == "missing":
            raise SuiteError("the assets are missing; get them")
        return Track(self)


class Track:
    """The scene."""

    spec = SPEC

    def __init__(self, line: Line) -> None:
        self._line, self.blind = line, False

    def reset(self, trial: Trial) -> None:
        self._x, self._steps = 0.1 * trial.index, 0
        print("what simulators print must not stand between messages")
        if trial.key == self._line.dies:
            mark = Path(self._line.mark or "/nowhere")
            if not mark.exists():
                if self._line.mark:
                    mark.touch()
                raise SystemExit("the simulator dies")

    def observe(self) -> Observation:
        return Observation(
            stamp=self._steps * SPEC.dt,
            images={},
            image_stamps={},
            state=np.array([self._x], np.float32),
            instruction=SPEC.instruction,
        )

    def act(self, action: np.ndarray) -> None:
        self._x += float(action[0])
        self._steps += 1

    def stop(self) -> None: ...

    @property
    def stages(self) -> int:
        return int(self._x >= 3)

    @property
    def finished(self) -> bool:
        return self.stages == 1 or self._steps == 10

    def expert(self) -> Policy:
        return Rightwards()

    def close(self) -> None: ...


class Rightwards:
    """Half a step at a time."""

    def reset(self, seed: int) -> None: ...

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        return ActionChunk(stamp=observation.stamp, dt=SPEC.dt, actions=np.full((1, 1), 0.5))


BOOT = """
import sys
sys.path[:0] = sys.argv[1:]
from test_runner import register
register()
from takt.benchmarks.suites.worker import main
main()
"""


def register() -> None:
    registry.SUITES["line"] = "test_runner:Line"


def run(line: Line, player: Player, workers: int = 2) -> Run:
    import takt

    paths = [str(Path(__file__).parent), str(Path(takt.__file__).parent.parent)]
    return Run(
        suite=line, player=player, command=[sys.executable, "-c", BOOT, *paths], workers=workers
    )


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
