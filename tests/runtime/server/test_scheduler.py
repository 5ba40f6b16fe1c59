"""Whose turn it is: one robot's trouble stays its own."""

import threading
import time
from collections.abc import Sequence

import pytest
from fakes import FakePolicy, FakeStation

from takt.runtime.server.scheduler import OneForAll, Scheduler, Seat
from takt.types import ActionChunk, Observation


class Gate:
    """Waits in its first inference; remembers the sizes of all, refuses stamps below zero."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.asked, self.go = threading.Event(), threading.Event()

    def infer_batch(
        self, observations: Sequence[Observation], committed: Sequence[ActionChunk | None]
    ) -> list[ActionChunk]:
        self.sizes.append(len(observations))
        self.asked.set()
        assert self.go.wait(10)
        if any(seen.stamp < 0 for seen in observations):
            raise ValueError("before the beginning")
        return [FakePolicy().infer(seen, None) for seen in observations]


def observation(stamp: float = 0.0) -> Observation:
    seen = FakeStation().observe()
    return Observation(
        stamp=stamp,
        images=seen.images,
        image_stamps=seen.image_stamps,
        state=seen.state,
        instruction=seen.instruction,
    )


def behind_the_gate(gate: Gate, scheduler: Scheduler, stamps: Sequence[float]) -> list[object]:
    """Answers to robots that all ask while the gate is shut: a chunk's stamp, or an error."""
    answers: list[object] = [None] * len(stamps)

    def ask(seat: Seat, number: int) -> None:
        try:
            thought = seat.infer(observation(stamps[number]), None, lambda: None)
            answers[number] = thought.chunk.stamp
        except Exception as error:
            answers[number] = type(error).__name__

    robots = []
    for number in range(len(stamps)):
        seat = scheduler.take_seat()
        robots.append(threading.Thread(target=ask, args=(seat, number)))
        robots[-1].start()
        if number == 0:
            assert gate.asked.wait(10)
        deadline = time.monotonic() + 10
        while scheduler._jobs.qsize() < number and time.monotonic() < deadline:
            time.sleep(0.001)
    gate.go.set()
    for robot in robots:
        robot.join()
    return answers


def test_one_bad_question_of_eight_costs_the_others_three_inferences() -> None:
    gate = Gate()
    scheduler = Scheduler(OneForAll(policy=gate, robots=9, batch=8))
    answers = behind_the_gate(gate, scheduler, [0.0, 1.0, 2.0, 3.0, 4.0, -1.0, 6.0, 7.0, 8.0])
    scheduler.close(5)
    assert answers == [0, 1, 2, 3, 4, "PolicyError", 6, 7, 8]
    assert gate.sizes == [1, 8, 4, 4, 2, 1, 1, 2]


def test_nobody_thinks_for_a_robot_that_is_gone() -> None:
    gate = Gate()
    scheduler = Scheduler(OneForAll(policy=gate, robots=2, batch=1))
    first, gone = scheduler.take_seat(), scheduler.take_seat()
    waits = threading.Thread(target=first.infer, args=(observation(), None, lambda: None))
    waits.start()
    assert gate.asked.wait(10)

    def leave() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        gone.infer(observation(), None, leave)
    gate.go.set()
    waits.join()
    first.infer(observation(), None, lambda: None)
    scheduler.close(5)
    assert gate.sizes == [1, 1]
