"""Whose turn it is: one thread thinks for all robots, in the order in which they ask.

A robot waits for its answer before it asks again, so the order of asking is a round robin: nobody
gets two turns while another waits.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Protocol, Self, runtime_checkable

from takt.runtime.inference import PolicyError
from takt.types import ActionChunk, Observation, Policy, Seconds, TaktError

IDLE_S = 0.5  # between looks at a connection whose robot waits for its turn: pings are answered

_log = logging.getLogger("takt.server")


class BatchPolicy(Protocol):
    """A policy without memory between inferences, which plans for several robots at once."""

    def infer_batch(
        self, observations: Sequence[Observation], committed: Sequence[ActionChunk | None]
    ) -> Sequence[ActionChunk]:
        """One chunk for each observation, in their order."""
        ...


@runtime_checkable
class TeamPolicy(Policy, Protocol):
    """A robot's own policy, with its memory and its seed, that can think with others at once."""

    def another(self) -> Self:
        """A policy for another robot, with a memory of its own."""
        ...

    def infer_together(
        self,
        policies: Sequence[Any],
        observations: Sequence[Observation],
        committed: Sequence[ActionChunk | None],
    ) -> Sequence[ActionChunk]:
        """One chunk of each of `policies`, which are of its make; perhaps it is among them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OnePerRobot:
    """Every robot has a policy of its own, with its memory and its seed.

    All are built before the server is ready, so that no robot waits for another's to load. They
    think in turn; those that are a `TeamPolicy` for all robots that wait at once.
    """

    factory: Callable[[], Policy]
    robots: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class OneForAll:
    """All robots share a policy that keeps nothing: at most `batch` of them in one inference.

    A robot's `reset(seed)` is acknowledged and has no effect. A `TeamPolicy` keeps something, so
    each robot gets one, `another` of the first.
    """

    policy: BatchPolicy | TeamPolicy
    robots: int = 8
    batch: int = 8


Policies = OnePerRobot | OneForAll


class NoSeatError(TaktError):
    """More robots than the server was started for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thought:
    """A plan, the time its inference took and the time until its turn came."""

    chunk: ActionChunk
    compute_s: Seconds
    waited_s: Seconds


@dataclass(frozen=True, slots=True)
class _Question:
    observation: Observation
    committed: ActionChunk | None


class _Job:
    """Work for the thinking thread, and the lock that opens when it is done."""

    def __init__(self, policy: Policy | None, work: int | _Question) -> None:
        """`policy`: the robot's own, if it has one. `work`: an episode's seed, or a question."""
        self.policy, self.work = policy, work
        self.posted = time.perf_counter()
        self.thought: Thought | None = None
        self.error: Exception | None = None
        self.given_up = False
        self.done = threading.Lock()
        self.done.acquire()

    def wait(self, meanwhile: Callable[[], None]) -> None:
        """Until it is done; calls `meanwhile` now and then.

        Raises:
            TaktError: The policy's own, or a `PolicyError` that names what else it raised.
        """
        try:
            while not self.done.acquire(timeout=IDLE_S):
                meanwhile()
        except BaseException:
            self.given_up = True  # who is gone must not cost the others its turn
            raise
        if isinstance(self.error, TaktError):
            raise self.error
        if self.error is not None:
            name = type(self.error).__name__
            raise PolicyError(f"the policy failed with {name}: {self.error}") from self.error


class Seat:
    """A robot's place at the server; one thread uses it."""

    def __init__(self, policy: Policy | None, post: Callable[[_Job], None]) -> None:
        """`policy`: the robot's own, if it has one. `post` hands a job to the thinking thread."""
        self.policy, self._post = policy, post

    def reset(self, seed: int, meanwhile: Callable[[], None]) -> None:
        """Begin an episode; waits for its turn."""
        job = _Job(self.policy, seed)
        self._post(job)
        job.wait(meanwhile)

    def infer(
        self,
        observation: Observation,
        committed: ActionChunk | None,
        meanwhile: Callable[[], None],
    ) -> Thought:
        """Plan; waits for its turn.

        Raises:
            TaktError: The policy failed.
        """
        job = _Job(self.policy, _Question(observation, committed))
        self._post(job)
        job.wait(meanwhile)
        assert job.thought is not None
        return job.thought


class Scheduler:
    """Seats for the robots, and the thread that thinks for them."""

    def __init__(self, policies: Policies) -> None:
        """Builds the policies; returns when all are there."""
        self._shared: BatchPolicy | None = None
        self._free: list[Policy | None]
        match policies:
            case OnePerRobot(factory=factory, robots=robots):
                self._free = [factory() for _ in range(robots)]
                is_team = all(isinstance(policy, TeamPolicy) for policy in self._free)
                self._batch = robots if is_team else 1
            case OneForAll(policy=policy, robots=robots, batch=batch):
                self._batch = batch
                if isinstance(policy, TeamPolicy):
                    self._free = [policy, *(policy.another() for _ in range(robots - 1))]
                else:
                    self._free, self._shared = [None] * robots, policy
        self.robots = len(self._free)
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="takt-think", daemon=True)
        self._thread.start()

    def take_seat(self) -> Seat:
        """A place for one more robot.

        Raises:
            NoSeatError: All are taken.
        """
        with self._lock:
            if not self._free:
                raise NoSeatError(
                    f"expected at most {self.robots} robots, got one more; "
                    "start the server with a higher --robots"
                )
            return Seat(self._free.pop(), self._jobs.put)

    def leave(self, seat: Seat) -> None:
        """Give the seat back."""
        with self._lock:
            self._free.append(seat.policy)

    def close(self, timeout_s: Seconds) -> None:
        """End the thread after what it is doing; wait for that until `timeout_s`."""
        self._jobs.put(None)
        self._thread.join(timeout_s)

    def _work(self) -> None:
        job = self._jobs.get()
        while job is not None:
            together, job = self._gather(job)
            self._do([each for each in together if not each.given_up])
            for each in together:
                each.done.release()
            job = job or self._jobs.get()

    def _gather(self, first: _Job) -> tuple[list[_Job], _Job | None]:
        """Questions that can be answered together, and the job after them if it was seen."""
        jobs = [first]
        while isinstance(first.work, _Question) and len(jobs) < self._batch:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                break
            if job is None:
                self._jobs.put(None)  # the end comes after this batch
                break
            if not isinstance(job.work, _Question):
                return jobs, job
            jobs.append(job)
        return jobs, None

    def _do(self, jobs: list[_Job]) -> None:
        if not jobs:
            return
        began = time.perf_counter()
        try:
            chunks = self._think(jobs)
        except Exception as error:  # it belongs to the robot that asked, not to this thread
            if middle := len(jobs) // 2:  # nor to the others in its batch
                self._do(jobs[:middle])
                self._do(jobs[middle:])
                return
            if not isinstance(error, TaktError):
                _log.exception("the policy failed")
            jobs[0].error = error
            return
        spent = time.perf_counter() - began
        for job, chunk in zip(jobs, chunks, strict=False):
            job.thought = Thought(chunk=chunk, compute_s=spent, waited_s=began - job.posted)

    def _think(self, jobs: list[_Job]) -> Sequence[ActionChunk]:
        policy = jobs[0].policy
        match [job.work for job in jobs]:
            case [int(seed)]:
                if policy is not None:
                    policy.reset(seed)
                return ()
            case [_Question(observation, committed)] if policy is not None:
                return (policy.infer(observation, committed),)
            case works:
                questions = [work for work in works if isinstance(work, _Question)]
                chunks = self._think_together([job.policy for job in jobs], questions)
        if len(chunks) != len(jobs):
            raise PolicyError(
                f"expected a plan for each of {len(jobs)} observations, got {len(chunks)}; "
                "mend the policy's infer_batch"
            )
        return chunks

    def _think_together(
        self, policies: Sequence[Policy | None], questions: Sequence[_Question]
    ) -> Sequence[ActionChunk]:
        observations = [question.observation for question in questions]
        committed = [question.committed for question in questions]
        if self._shared is not None:
            return self._shared.infer_batch(observations, committed)
        first = policies[0]
        assert isinstance(first, TeamPolicy)
        return first.infer_together(policies, observations, committed)
