"""gym-aloha as lerobot runs it: what is seen, when it ends, and that a seed is a trial."""

import json
import os
import subprocess

import numpy as np
import pytest

from takt.benchmarks.suites.aloha import Aloha
from takt.benchmarks.suites.aloha_scene import MAX_STEPS, AlohaScene
from takt.benchmarks.suites.environment import python_of
from takt.benchmarks.suites.suite import SuiteError, Trial
from takt.types import ActionSpace, EmbodimentSpec

TRIAL = Trial(task="insertion", index=0, seed=7, configuration="seed-7")
SPEC = EmbodimentSpec(
    name="arms",
    rate_hz=50.0,
    cameras=(),
    action_space=ActionSpace(
        names=("joint",), units=("rad",), low=-np.ones(1, np.float32), high=np.ones(1, np.float32)
    ),
    slots=(7,),
    relative=(False,),
    instruction="Insert",
)


class FakeAloha:
    """Its state counts steps; succeeds on `succeeds_at` only."""

    def __init__(self, succeeds_at: int | None = None, renders: bool = True) -> None:
        self.succeeds_at, self.renders = succeeds_at, renders
        self.seeds: list[int] = []
        self.steps = 0

    def reset(self, seed: int) -> np.ndarray:
        self.seeds.append(seed)
        self.steps = 0
        return np.zeros(1)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, bool]:
        self.steps += 1
        return np.full(1, float(self.steps)), self.steps == self.succeeds_at

    def objects(self) -> np.ndarray:
        return np.array([float(self.seeds[-1])])

    def render(self) -> np.ndarray:
        if not self.renders:
            raise RuntimeError("no display")
        return np.zeros((2, 3, 3), np.uint8)

    def close(self) -> None: ...


def two_ticks(objects: np.ndarray) -> np.ndarray:
    return np.array([objects, objects + 1])


def scene_of(simulator: FakeAloha) -> AlohaScene:
    scene = AlohaScene(simulator, two_ticks, SPEC)
    scene.reset(TRIAL)
    return scene


def test_trials_are_drawn_and_do_not_depend_on_what_else_is_played() -> None:
    both = Aloha(episodes=2, seed=5).trials()
    assert [trial.key for trial in both] == [
        *("transfer-cube-0000", "transfer-cube-0001", "insertion-0000", "insertion-0001")
    ]
    assert list(Aloha(tasks="1", episodes=2, seed=5).trials()) == list(both[2:])
    assert len({trial.seed for trial in both}) == 4


def test_what_differs_from_the_published_protocol_is_in_the_label() -> None:
    assert Aloha().label == "aloha"
    small = Aloha(image_width=128, image_height=96, render="fast")
    assert small.label == "aloha-128x96px+fastrender"
    with pytest.raises(SuiteError, match="image_width"):
        Aloha(image_width=0)


def test_a_success_counts_at_any_step_and_ends_the_trial() -> None:
    simulator = FakeAloha(succeeds_at=2)
    scene = scene_of(simulator)
    ends = []
    for _ in range(3):
        scene.act(np.zeros(1, np.float32))
        ends.append((scene.finished, scene.stages))
    assert ends == [(False, 0), (True, 1), (True, 1)]
    assert simulator.seeds == [7]


def test_a_trial_without_success_ends_after_the_published_steps() -> None:
    scene = scene_of(FakeAloha())
    while not scene.finished:
        scene.act(np.zeros(1, np.float32))
    scene.blind = True
    assert scene.observe().state.tolist() == [MAX_STEPS]
    assert scene.stages == 0


def test_who_is_blind_does_not_pay_for_pictures_and_who_sees_is_told_what_is_missing() -> None:
    assert scene_of(FakeAloha()).observe().images["top"].shape == (2, 3, 3)
    scene = scene_of(FakeAloha(renders=False))
    with pytest.raises(SuiteError, match="no display"):
        scene.observe()
    scene.blind = True
    assert scene.observe().images == {}


def test_the_expert_looks_when_a_trial_begins_and_ends_with_its_last_action() -> None:
    scene = scene_of(FakeAloha())
    expert, told = scene.expert(), []
    expert.reset(0)
    for _ in range(3):
        told.append(expert.infer(scene.observe(), None).actions.tolist())
        scene.act(np.zeros(1, np.float32))
    assert told == [[[7.0]], [[8.0]], [[8.0]]]


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(SuiteError, match="transfer-cube or insertion"):
        Aloha().open("pour")
    with pytest.raises(SuiteError, match="takt bench setup aloha"):
        Aloha().open("insertion")


PLAY = """
import json, os, sys
from takt.benchmarks.suites.aloha import Aloha
suite = Aloha(episodes=2, render="fast", image_width=32, image_height=24)
played = {}
for first, second in (suite.trials()[:2], suite.trials()[2:]):
    scene = suite.open(first.task)
    expert, pictures = scene.expert(), []
    for trial in (first, second, first):
        scene.reset(trial)
        pictures.append(scene.observe().images["top"].tolist())
    scene.blind = True
    expert.reset(first.seed)
    while not scene.finished:
        scene.act(expert.infer(scene.observe(), None).actions[0])
    played[first.task] = [pictures, scene.stages]
print(json.dumps({"played": played, "versions": suite.versions()}))
sys.stdout.flush()
os._exit(0)  # OpenGL contexts complain on the way out
"""


def test_the_real_simulator_plays_both_tasks_and_begins_a_trial_twice_alike() -> None:
    try:
        python = python_of("aloha")
    except SuiteError as error:
        pytest.skip(str(error))
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    child = subprocess.run(
        [str(python), "-c", PLAY], capture_output=True, text=True, check=False, env=clean
    )
    assert child.returncode == 0, child.stderr
    found = json.loads(child.stdout.splitlines()[-1])
    for pictures, stages in found["played"].values():
        first, second, again = pictures
        assert first == again != second
        assert np.shape(first) == (24, 32, 3)
        assert stages == 1
    assert found["versions"]["gym-aloha"] == "0.1.5"
