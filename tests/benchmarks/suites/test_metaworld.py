"""MetaWorld as lerobot runs it: what is seen, when it ends, and that a seed is a trial."""

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from takt.benchmarks.suites.environment import python_of
from takt.benchmarks.suites.metaworld import Metaworld
from takt.benchmarks.suites.metaworld_scene import MAX_STEPS, MetaworldScene
from takt.benchmarks.suites.metaworld_tasks import GROUPS, INSTRUCTIONS, TASKS
from takt.benchmarks.suites.suite import SuiteError, Trial
from takt.types import ActionSpace, EmbodimentSpec, StateSpace

TRIAL = Trial(task="reach", index=0, seed=7, configuration="seed-7")
SPEC = EmbodimentSpec(
    name="hand",
    rate_hz=80.0,
    cameras=(),
    action_space=ActionSpace(
        names=("dx",), units=("1",), low=-np.ones(1, np.float32), high=np.ones(1, np.float32)
    ),
    slots=(0,),
    relative=(False,),
    instruction="Reach",
    state_space=StateSpace(names=("x",), slots=(0,)),
)


class FakeMetaworld:
    """Counts steps in every value of the raw observation; succeeds on `succeeds_at` only."""

    def __init__(self, succeeds_at: int | None = None, renders: bool = True) -> None:
        self.succeeds_at, self.renders = succeeds_at, renders
        self.seeds: list[int] = []
        self.steps = 0

    def seed(self, seed: int) -> None:
        self.seeds.append(seed)

    def reset(self) -> tuple[np.ndarray, object]:
        self.steps = 0
        return np.zeros(39), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, Any, bool, bool, Mapping[str, Any]]:
        if self.steps == MAX_STEPS:
            raise ValueError("a step too many")
        self.steps += 1
        success = float(self.steps == self.succeeds_at)
        return np.full(39, self.steps, float), 0.0, False, False, {"success": success}

    def render(self) -> np.ndarray:
        if not self.renders:
            raise RuntimeError("no display")
        return np.arange(12, dtype=np.uint8).reshape(2, 2, 3)

    def close(self) -> None: ...


class Overeager:
    """A script that asks for more than can be done."""

    def get_action(self, obs: np.ndarray) -> np.ndarray:
        return np.array([5.0, -5.0, obs[38], 0.0])


def scene_of(simulator: FakeMetaworld) -> MetaworldScene:
    scene = MetaworldScene(simulator, Overeager(), SPEC)
    scene.reset(TRIAL)
    return scene


def test_every_task_is_told_something_and_belongs_to_one_group() -> None:
    grouped = [task for tasks in GROUPS.values() for task in tasks]
    assert sorted(grouped) == sorted(TASKS)
    assert [len(tasks) for tasks in GROUPS.values()] == [28, 11, 6, 5]
    assert len(set(INSTRUCTIONS.values())) == 49  # as in lerobot/metaworld_mt50
    assert (TASKS[0], TASKS[40], TASKS[49]) == ("assembly", "reach", "window-close")


def test_tasks_are_chosen_by_name_id_or_group() -> None:
    suite = Metaworld(tasks="reach-v3, very_hard,4", episodes=2)
    trials = suite.trials()
    assert [trial.key for trial in trials[:2]] == ["reach-0000", "reach-0001"]
    assert {t.task for t in trials} == {"reach", "button-press-topdown", *GROUPS["very_hard"]}
    assert list(suite.groups()) == ["easy", "very_hard"]
    with pytest.raises(SuiteError, match="reach-wall"):
        Metaworld(tasks="reach,jump").trials()


def test_a_trial_is_the_same_in_every_selection_and_no_two_begin_alike() -> None:
    every = {trial.key: trial for trial in Metaworld(seed=3).trials()}
    few = Metaworld(tasks="push,reach", episodes=3, seed=3).trials()
    assert all(every[trial.key] == trial for trial in few)
    assert len({trial.seed for trial in every.values()}) == len(every) == 500
    assert {t.seed for t in every.values()}.isdisjoint(t.seed for t in Metaworld(seed=4).trials())


def test_what_differs_from_the_published_protocol_is_in_the_label() -> None:
    assert Metaworld().label == "metaworld"
    nano = Metaworld(image_size=96, render="fast", prompts="after-4410")
    assert nano.label == "metaworld-96px-prompts4410+fastrender"


@pytest.mark.parametrize("wrong", [{"episodes": 0}, {"seed": -1}, {"image_size": 0}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(SuiteError, match="expected"):
        Metaworld(**wrong)  # pyright: ignore[reportArgumentType]


def test_a_success_counts_at_any_step_and_ends_the_trial() -> None:
    simulator = FakeMetaworld(succeeds_at=2)
    scene = scene_of(simulator)
    ends = []
    for _ in range(3):
        scene.act(np.zeros(4, np.float32))
        ends.append((scene.finished, scene.stages))
    assert ends == [(False, 0), (True, 1), (True, 1)]
    assert simulator.seeds == [7]


def test_a_trial_without_success_ends_after_the_published_steps() -> None:
    scene = scene_of(FakeMetaworld())
    while not scene.finished:
        scene.act(np.zeros(4, np.float32))
    assert (scene.observe().stamp, scene.stages) == (MAX_STEPS * SPEC.dt, 0)


def test_a_policy_sees_an_upright_picture_and_the_hand_only() -> None:
    observation = scene_of(FakeMetaworld()).observe()
    assert observation.images["corner2"][0, 0].tolist() == [9, 10, 11]
    assert observation.state.shape == (4,)


def test_who_is_blind_does_not_pay_for_pictures_and_who_sees_is_told_what_is_missing() -> None:
    scene = scene_of(FakeMetaworld(renders=False))
    with pytest.raises(SuiteError, match="no display"):
        scene.observe()
    scene.blind = True
    assert scene.observe().images == {}


def test_the_expert_reads_all_there_is_and_asks_for_what_can_be_done() -> None:
    scene = scene_of(FakeMetaworld())
    scene.blind = True
    scene.act(np.zeros(4, np.float32))
    plan = scene.expert().infer(scene.observe(), None)
    assert plan.actions.tolist() == [[1.0, -1.0, 1.0, 0.0]]


def test_without_the_simulator_the_command_that_installs_it_is_named() -> None:
    with pytest.raises(SuiteError, match="takt bench setup metaworld"):
        Metaworld().open("reach")


PLAY = """
import json, os, sys
from takt.benchmarks.suites.metaworld import Metaworld
suite = Metaworld(tasks="reach", episodes=2, render="fast", image_size=32)
first, second = suite.trials()
scene = suite.open("reach")
expert, starts = scene.expert(), []
for trial in (first, second, first):
    scene.reset(trial)
    starts.append(scene.raw.tolist())
picture = scene.observe().images["corner2"]
scene.blind = True
while not scene.finished:
    scene.act(expert.infer(scene.observe(), None).actions[0])
print(json.dumps({"starts": starts, "stages": scene.stages, "shape": picture.shape,
                  "contrast": float(picture.std()), "versions": suite.versions()}))
sys.stdout.flush()
os._exit(0)  # OpenGL contexts complain on the way out
"""


def test_the_real_simulator_plays_a_trial_twice_alike() -> None:
    try:
        python = python_of("metaworld")
    except SuiteError as error:
        pytest.skip(str(error))
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    child = subprocess.run(
        [str(python), "-c", PLAY], capture_output=True, text=True, check=False, env=clean
    )
    assert child.returncode == 0, child.stderr
    played = json.loads(child.stdout.splitlines()[-1])
    first, second, again = played["starts"]
    assert first == again != second
    assert played["stages"] == 1
    assert played["shape"] == [32, 32, 3]
    assert played["contrast"] > 10
    assert played["versions"]["metaworld"] == "3.1.1"
