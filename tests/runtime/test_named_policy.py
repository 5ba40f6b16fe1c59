"""A policy of one's own that is none, or gives no plan, is named; one that works is untouched."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes import SPEC, FakePolicy, FakeStation
from remote import serve

from takt.runtime.client import RemotePolicy
from takt.runtime.inference import PolicyError
from takt.runtime.named_policy import NamedBatchPolicy, NamedTeamPolicy, named_policy
from takt.runtime.policy_process import PolicyProcess
from takt.runtime.server.scheduler import OneForAll
from takt.types import ActionChunk, Observation, TaktError


class Plain(FakePolicy):
    """Answers with bare numbers."""

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        return np.zeros((4, 2), np.float32)  # pyright: ignore[reportReturnType]


class Failing(FakePolicy):
    def reset(self, seed: int) -> None: ...

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        raise KeyError("shoulder")


class Mute:
    def reset(self, seed: int) -> None: ...


class PlainBatch:
    def infer_batch(
        self, observations: Sequence[Observation], committed: Sequence[ActionChunk | None]
    ) -> Sequence[ActionChunk]:
        return [None for _ in observations]  # pyright: ignore[reportReturnType]


class Team(FakePolicy):
    """Thinks with others of its make, who are told apart."""

    def another(self) -> "Team":
        return Team(horizon=2)

    def infer_together(
        self,
        policies: Sequence["Team"],
        observations: Sequence[Observation],
        committed: Sequence[ActionChunk | None],
    ) -> Sequence[ActionChunk]:
        return [each.infer(seen, None) for each, seen in zip(policies, observations, strict=True)]


def nothing() -> None: ...


WHERE = "test_named_policy"


@pytest.fixture(autouse=True)
def _children_find_this(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def test_one_that_works_plans_as_it_did() -> None:
    seen = FakeStation().observe()
    ours, plain = named_policy(f"{WHERE}:FakePolicy"), FakePolicy()
    for policy in (ours, plain):
        policy.reset(3)
    chunk = ours.infer(seen, None)
    np.testing.assert_array_equal(chunk.actions, plain.infer(seen, None).actions)
    assert chunk.dt == SPEC.dt


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nothing", r"expected a policy .* got NoneType without reset and infer"),
        ("Mute", r"got Mute without infer"),
        ("Plain", r"Plain.infer\(.*expected a .*ActionChunk, got an array float32\[4, 2\]; return"),
        ("Failing", r"Failing.infer\(.* failed with KeyError: 'shoulder' \(.*line \d+ in infer"),
    ],
)
def test_one_that_does_not_is_named(name: str, says: str) -> None:
    with pytest.raises(TaktError, match=says):
        named_policy(f"{WHERE}:{name}").infer(FakeStation().observe(), None)


def test_those_that_think_together_are_what_they_are_made_of() -> None:
    first, seen = named_policy(f"{WHERE}:Team"), FakeStation().observe()
    assert isinstance(first, NamedTeamPolicy)
    chunks = first.infer_together([first, first.another()], [seen, seen], [None, None])
    assert [len(chunk.actions) for chunk in chunks] == [16, 2]


def test_its_name_comes_through_from_another_process() -> None:
    factory = "takt.runtime.named_policy:named_policy"
    with PolicyProcess(factory, {"reference": f"{WHERE}:Plain"}) as worker:
        worker.reset(0)
        worker.submit(FakeStation().observe(), None)
        with pytest.raises(PolicyError, match=r"test_named_policy:Plain.infer.*ActionChunk"):
            worker.result()


def test_a_server_tells_the_robot_of_plans_for_several_that_are_none() -> None:
    policies = OneForAll(policy=NamedBatchPolicy(f"{WHERE}:PlainBatch", PlainBatch()))
    with serve(policies) as server, RemotePolicy(f"ws://127.0.0.1:{server.port}") as worker:
        worker.submit(FakeStation().observe(), None)
        with pytest.raises(PolicyError, match="PlainBatch.infer_batch.*got NoneType"):
            worker.result()
