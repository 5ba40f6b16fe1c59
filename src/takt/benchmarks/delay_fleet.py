"""Many episodes at once, each on an executor of its own, their inferences in one batch.

Each episode runs in a thread until it needs a plan; when all wait, all plans are made together. So
a batch is the same whatever the threads' timing, and the same seeds give the same trajectories.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from takt.runtime.inference import Inference, PolicyError
from takt.types import ActionChunk, Observation, Seconds

Result = TypeVar("Result")


Planner = Callable[[Sequence[tuple[int, Observation, ActionChunk | None]]], list[ActionChunk]]
"""Plans for (seat, observation, committed actions) of many seats."""


class Fleet:
    """Seats for `count` episodes, each a worker of its executor."""

    def __init__(self, count: int, plan: Planner) -> None:
        """Every seat is taken."""
        self._plan = plan
        self._changed = threading.Condition()
        self._running = count
        self._asked: dict[int, tuple[Observation, ActionChunk | None]] = {}
        self._waiting: set[int] = set()
        self._answers: dict[int, Inference] = {}
        self._failure: BaseException | None = None
        self.seats = [Seat(self, number) for number in range(count)]

    def ask(self, number: int, observation: Observation, committed: ActionChunk | None) -> None:
        """Seat `number` wants a plan."""
        with self._changed:
            self._answers.pop(number, None)
            self._asked[number] = (observation, committed)

    def answer(self, number: int) -> Inference:
        """The plan of the last `ask`; waits until all episodes that still run wait for theirs."""
        with self._changed:
            if number in self._answers:
                return self._answers[number]
            if number not in self._asked:
                raise PolicyError("expected submit() before result(), got no inference")
            self._waiting.add(number)
            self._compute_if_all_wait()
            while number not in self._answers and self._failure is None:
                self._changed.wait()
            self._waiting.discard(number)
            if self._failure is not None:
                raise PolicyError(f"another episode's inference failed: {self._failure}")
            return self._answers[number]

    def leave(self) -> None:
        """An episode is over."""
        with self._changed:
            self._running -= 1
            self._compute_if_all_wait()

    def _compute_if_all_wait(self) -> None:
        """Plan for everybody who waits, in the order of the seats."""
        numbers = sorted(n for n in self._waiting if n in self._asked)
        if len(self._waiting) < self._running or not numbers:
            return
        began = time.perf_counter()
        jobs = [(number, *self._asked.pop(number)) for number in numbers]
        try:
            chunks = self._plan(jobs)
        except BaseException as error:
            self._failure = error
            self._changed.notify_all()
            raise
        share: Seconds = (time.perf_counter() - began) / len(jobs)
        for number, chunk in zip(numbers, chunks, strict=True):
            self._answers[number] = Inference(chunk=chunk, compute_s=share)
        self._waiting -= set(numbers)
        self._changed.notify_all()


class Seat:
    """One episode's worker: plans whole chunks, or streams their leading actions."""

    def __init__(self, fleet: Fleet, number: int) -> None:
        """Of `fleet`."""
        self._fleet, self._number = fleet, number

    def reset(self, seed: int) -> None:
        """A fleet is made for its episodes."""

    def submit(self, observation: Observation, committed: ActionChunk | None) -> None:
        """Hand in; nothing is computed yet."""
        self._fleet.ask(self._number, observation, committed)

    def ready(self) -> bool:
        """`result` waits as long as it takes."""
        return True

    def result(self) -> Inference:
        """The plan of the last `submit`."""
        return self._fleet.answer(self._number)

    def first_ready(self) -> bool:
        """As `ready`."""
        return True

    def first(self) -> ActionChunk:
        """The plan in the making: its leading actions are final."""
        return self._fleet.answer(self._number).chunk

    def close(self) -> None:
        """Nothing to release."""


def run_fleet(count: int, plan: Planner, episode: Callable[[int, Seat], Result]) -> list[Result]:
    """What `episode` (number, seat) returns for each of `count` episodes, in their order."""
    fleet = Fleet(count, plan)

    def run(number: int) -> Result:
        try:
            return episode(number, fleet.seats[number])
        finally:
            fleet.leave()

    with ThreadPoolExecutor(max_workers=count) as pool:
        return list(pool.map(run, range(count)))
