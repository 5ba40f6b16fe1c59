"""What plays a trial, without its process."""

import numpy as np
import pytest
from fake_suite import SPEC, Line

from takt.benchmarks.suites.players import Seat, Served
from takt.benchmarks.suites.worker import Stage
from takt.runtime.chunking import Synchronous
from takt.runtime.inference import InlinePolicy
from takt.types import ActionChunk, Observation


class Planner:
    """Eight steps of a half to the right."""

    def __init__(self) -> None:
        self.asked_at: list[float] = []
        self.seeds: list[int] = []

    def reset(self, seed: int) -> None:
        self.seeds.append(seed)

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        self.asked_at.append(float(observation.state[0]))
        return ActionChunk(stamp=observation.stamp, dt=SPEC.dt, actions=np.full((8, 1), 0.5))


def test_each_task_of_a_chain_begins_with_a_plan_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planner = Planner()
    monkeypatch.setattr(
        "takt.benchmarks.suites.worker.take_seat",
        lambda player, scene, trial: Seat(worker=InlinePolicy(planner), chunking=Synchronous(8)),
    )
    line = Line(chain=2)
    stage = Stage(line, Served(uri="ws://nowhere", body="fake_suite:SPEC"), lambda: None)
    played = stage.play(line.trials()[0])
    assert (played.stages, played.steps) == (2, 12)
    assert planner.asked_at == [0.0, 3.0], "the rest of the first plan is not played"
    assert planner.seeds == [0, 0]
    assert played.actions is not None
    assert played.actions.shape == (12, 1)
