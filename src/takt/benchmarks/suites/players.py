"""Who plays a public benchmark: a policy behind a server, or a player that needs no weights."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from takt.benchmarks.checkpoint import CheckpointChunking
from takt.benchmarks.player import Expert, GreyWorker, Hold, HoldPolicy, chain
from takt.benchmarks.shift_config import Mode
from takt.benchmarks.suites.store import read_trial
from takt.benchmarks.suites.suite import Scene, SuiteError, Trial
from takt.runtime.chunking import Chunking, Synchronous
from takt.runtime.client import RemotePolicy
from takt.runtime.inference import InlinePolicy, PolicyWorker
from takt.runtime.latency import delay_ticks
from takt.runtime.server.replies import ServerFacts
from takt.types import ActionChunk, ActionSpace, EmbodimentSpec, Observation, Policy, Seconds


@dataclass(frozen=True, slots=True)
class Random:
    """Draws every action from within the bounds."""


@dataclass(frozen=True, slots=True)
class Replay:
    """Repeats the actions of an earlier run, trial by trial."""

    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A policy behind `takt serve`.

    Attributes:
        uri: "ws://host:port".
        body: What it must be served with, for a message.
        mode: How its plans follow each other.
        latency_ms: Injected, on the virtual clock.
        grey: Every image it gets is mid grey: what it achieves without seeing.
    """

    uri: str
    body: str
    mode: Mode = "sync"
    latency_ms: float = 0.0
    grey: bool = False


Player = Expert | Hold | Random | Replay | Served


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A player at a scene: its worker, how its plans are chained, their delay in ticks."""

    worker: PolicyWorker
    chunking: Chunking
    delay: int = 0


def take_seat(player: Player, scene: Scene, trial: Trial) -> Seat:
    """The player's seat for `trial` at `scene`; close its worker afterwards.

    Raises:
        SuiteError: it cannot play this.
        ChunkingError: the policy's plans are too short for the latency.
    """
    space, dt = scene.spec.action_space, scene.spec.dt
    match player:
        case Expert():
            policy: Policy = scene.expert()
        case Hold():
            policy = HoldPolicy(scene.spec)
        case Random():
            policy = _Dice(space, dt)
        case Replay(folder):
            policy = _Tape(Path(folder), trial, dt)
        case Served():
            return _served(player, scene)
    return Seat(worker=InlinePolicy(policy), chunking=Synchronous(1))


def _served(player: Served, scene: Scene) -> Seat:
    worker = RemotePolicy(player.uri)
    try:
        worker.reset(0)  # waits for the connection
        spec = scene.spec
        facts = _require_fit(worker.facts, spec, player)
        chunking = CheckpointChunking(
            horizon=facts.horizon,
            execute=facts.execute,
            max_prefix=facts.max_prefix,
            prefix_time=facts.prefix_time,
        )
        delay = delay_ticks(player.latency_ms, spec.rate_hz)
        chained = chain(player.mode, chunking, delay)
    except BaseException:
        worker.close()
        raise
    return Seat(worker=GreyWorker(worker) if player.grey else worker, chunking=chained, delay=delay)


def _require_fit(facts: ServerFacts | None, spec: EmbodimentSpec, player: Served) -> ServerFacts:
    """What the server said, if its policy is for this body and says how to chain its plans."""
    cameras = [camera.name for camera in spec.cameras]
    ours = (spec.rate_hz, spec.action_space.names, spec.state_names, sorted(cameras))
    theirs = facts and (facts.rate_hz, facts.actions, facts.state, sorted(facts.cameras))
    if facts is None or theirs != ours:
        raise SuiteError(
            f"expected a policy for {spec.name}: rate, actions, state, cameras {ours}, got "
            f"{theirs} at {player.uri}; serve it with --body {player.body}"
        )
    if not facts.horizon:
        raise SuiteError(
            f"expected a policy that says how long its plans are, got {facts.policy} at "
            f"{player.uri}; serve a checkpoint's folder"
        )
    return facts


def _plan(observation: Observation, dt: Seconds, action: np.ndarray) -> ActionChunk:
    return ActionChunk(stamp=observation.stamp, dt=dt, actions=action[None].astype(np.float32))


class _Dice:
    def __init__(self, space: ActionSpace, dt: Seconds) -> None:
        self._space, self._dt = space, dt
        self.reset(0)

    def reset(self, seed: int) -> None:
        self._draw = np.random.default_rng(seed)

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        action = self._draw.uniform(self._space.low, self._space.high)
        return _plan(observation, self._dt, action)


class _Tape:
    def __init__(self, folder: Path, trial: Trial, dt: Seconds) -> None:
        found = read_trial(folder, trial)
        if found.actions is None:
            raise SuiteError(
                f"{folder}: {trial.key} could not be played ({found.error}) and cannot be "
                "replayed; replay a run in which it was played"
            )
        self._actions, self._dt, self._name = found.actions, dt, f"{folder}: {trial.key}"
        self.reset(0)

    def reset(self, seed: int) -> None:
        self._next = 0

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        """Its last action again, once the tape has run out."""
        if not len(self._actions):
            raise SuiteError(
                f"{self._name} was played without a step, solved from the start, and now is not; "
                "replay it with the same versions"
            )
        action = self._actions[min(self._next, len(self._actions) - 1)]
        self._next += 1
        return _plan(observation, self._dt, action)
