"""What does not fit is refused before the body moves, and what is waited for is said."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import SPEC, FakePolicy, FakeStation
from remote import FACTS, serve

from takt.benchmarks.player import HOLD
from takt.cli import main
from takt.commands.run_body import Simulated
from takt.commands.run_policy import Planner, known_facts
from takt.commands.run_probe import complete_facts, probe
from takt.runtime.client import RemotePolicy
from takt.runtime.inference import InlinePolicy, PolicyError
from takt.runtime.server.policy_server import PolicyServer
from takt.runtime.server.replies import ServerFacts
from takt.runtime.server.scheduler import OnePerRobot
from takt.types import ActionChunk, Observation, TaktError

AXES = len(SPEC.action_space.names)


class Plans(FakePolicy):
    """Always the same actions."""

    def __init__(self, actions: np.ndarray, dt: float = SPEC.dt, late: float = 0.0) -> None:
        super().__init__()
        self._actions, self._dt, self._late = actions, dt, late

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        stamp = observation.stamp + self._late
        return ActionChunk(stamp=stamp, dt=self._dt, actions=self._actions)


def zeros(steps: int = 30, axes: int = AXES) -> np.ndarray:
    return np.zeros((steps, axes), np.float32)


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        (Plans(zeros(axes=AXES + 1)), f"mine: expected plans of {AXES} axes .*of {AXES + 1} axes"),
        (Plans(zeros(steps=0)), "got 0 actions"),
        (Plans(zeros() + np.float32(np.nan)), f"finite plans, got .*{SPEC.state_names[0]}"),
        (Plans(zeros(), dt=0.1), r"each tick of 33.3 ms, got dt=100.0 ms"),
        (Plans(zeros(), late=0.5), "got 0.500 s; return"),
        (Plans(zeros(steps=10)), "plans of 30 actions, as it says of itself, got 10"),
    ],
)
def test_plans_for_another_body_are_refused(policy: FakePolicy, says: str) -> None:
    with pytest.raises(PolicyError, match=says):
        probe("mine", InlinePolicy(policy), FakeStation(), HOLD)


def test_plans_for_this_body_are_measured() -> None:
    found = probe("mine", InlinePolicy(Plans(zeros(20))), FakeStation(), None)
    assert found.horizon == 20
    assert 0 < found.latency_s < 1
    assert complete_facts(None, found, None).execute == 10


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        (replace(FACTS, embodiment="desk"), "it serves 'desk'"),
        (replace(FACTS, actions=("pan", "lift")), "the actions .*, it serves one with pan, lift"),
        (replace(FACTS, rate_hz=50.0), "the rate in Hz 30, it serves one with 50"),
        (replace(FACTS, cameras=FACTS.cameras[1:]), "the cameras"),
    ],
)
def test_a_server_for_another_body_is_refused_as_it_greets(facts: ServerFacts, says: str) -> None:
    server = PolicyServer(OnePerRobot(factory=FakePolicy), facts, SPEC)
    with server, RemotePolicy(f"ws://127.0.0.1:{server.port}") as worker:
        worker.reset(0)
        with pytest.raises(TaktError, match=says):
            known_facts(Planner(worker, None), SPEC)


def test_a_server_that_is_not_there_is_named_before_and_after_it_is_waited_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("takt.commands.run_policy.GIVE_UP_S", 0.3)
    assert main(["run", "--body", "fakes:FakeStation", "--policy", "ws://127.0.0.1:9"]) == 2
    first, why, end = capsys.readouterr().err.splitlines()
    assert first == "policy: connecting to ws://127.0.0.1:9, for at most 0.3 s"
    assert "no connection to ws://127.0.0.1:9" in why
    assert "is `takt serve` running there?" in end


class Deserted(FakeStation):
    """Its server goes away in the middle of an episode, and comes back."""

    def __init__(self) -> None:
        super().__init__()
        self.server = serve()

    def act(self, action: np.ndarray) -> None:
        super().act(action)
        if self.ticks == 12:
            self.server.close()
        if self.ticks == 27:
            self.server = serve(port=self.server.port)


def test_a_server_that_goes_away_in_mid_run_is_told_once_and_once_that_it_is_back(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = Deserted()
    monkeypatch.setattr("takt.commands.run.body_named", lambda name: Simulated(body))
    uri = f"ws://127.0.0.1:{body.server.port}"
    options = ["--body", "deserted", "--clock", "wall", "--watchdog-ms", "9000"]
    try:
        assert main(["run", "--policy", uri, "--execute", "8", "--latency-ms", "30", *options]) == 0
    finally:
        body.server.close()
    starts = [f"connecting to {uri}", "asking for 6 plans that nobody executes"]
    starts += [f"no connection to {uri}", f"connected to {uri} after"]
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("policy: ")]
    assert len(said) == len(starts)
    for line, start in zip(said, starts, strict=True):
        assert line.startswith(f"policy: {start}")
