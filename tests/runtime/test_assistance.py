"""What a human adds to a plan moves the body by that much, and no further."""

import numpy as np
import pytest
from fakes import SPEC, FakePolicy
from runtime.test_strategies import EXECUTE, run

from takt.runtime.chunking import Chunking, LambdaPrefix, NaiveAsynchronous, Synchronous
from takt.runtime.latency import Injected
from takt.runtime.operator import Command
from takt.types import ActionChunk, Observation, Seconds


class Lifts:
    """A human who adds the same to every action."""

    def decide(self, now: Seconds, planned: np.ndarray, last: np.ndarray) -> Command:
        return Command(action=planned + np.float32(0.02), authority="assist")


def test_a_waiting_body_holds_still_also_while_a_human_assists() -> None:
    trace = run(Synchronous(EXECUTE), Injected(4), 60, operator=Lifts())
    waits = np.flatnonzero(trace.held[1:] & trace.held[:-1])
    assert len(waits) >= 15
    still = np.abs(np.diff(trace.actions, axis=0)[waits])
    assert still.max() < 1e-6


class LiftsTwice(Lifts):
    """Lets go for a tick, then assists anew."""

    def decide(self, now: Seconds, planned: np.ndarray, last: np.ndarray) -> Command:
        if round(now / SPEC.dt) == 50:
            return Command(action=planned, authority="policy")
        return super().decide(now, planned, last)


def test_an_assistant_who_let_go_begins_anew() -> None:
    trace = run(LambdaPrefix(EXECUTE, 0), Injected(0), 60, policy=Stays(), operator=LiftsTwice())
    assert (trace.actions[51] > trace.actions[50] + 0.01).any(axis=0)
    assert (trace.actions[51] >= trace.actions[50] - 1e-3).all()


class Stays(FakePolicy):
    """Plans to stay where the body is seen to be: whatever is added to it, it takes for granted."""

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        chunk = super().infer(observation, committed)
        chunk.actions[:] = observation.state
        return chunk


@pytest.mark.parametrize("chunking", [NaiveAsynchronous(EXECUTE), LambdaPrefix(EXECUTE, 3)])
def test_a_body_that_was_pushed_by_an_assistant_does_not_run_on(chunking: Chunking) -> None:
    trace = run(chunking, Injected(3), 150, policy=Stays(), operator=Lifts())
    moved = np.abs(trace.actions - trace.actions[0]).max()
    assert 0.0 < moved < 0.1
