"""Who works the station: holds still, follows the script, or looks and thinks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from takt.benchmarks.checkpoint import CheckpointChunking, packaged_checkpoint, read_chunking
from takt.benchmarks.shift_config import Device, EightBit, Mode, Precision, ShiftConfig
from takt.benchmarks.store import folder_digest
from takt.runtime.chunking import (
    Chunking,
    ChunkingError,
    LambdaPrefix,
    NaiveAsynchronous,
    Prefixed,
    Synchronous,
    TrainingTimeRTC,
    validate,
)
from takt.runtime.executor import hold_target
from takt.runtime.inference import Inference, InlinePolicy, PolicyWorker
from takt.runtime.latency import delay_ticks
from takt.runtime.policy_process import PolicyProcess
from takt.types import ActionChunk, EmbodimentSpec, Observation, TaktError

if TYPE_CHECKING:
    from takt.simulation.nut_station.station import NutStation

XR0_FACTORY = "takt.policies.xr0.policy:load_policy"
MID_GREY = 128
HOLD = CheckpointChunking(horizon=30, execute=15, max_prefix=15, prefix_time="chunk")


@dataclass(frozen=True, slots=True)
class Hold:
    """Keeps the arms where they are: the control that must never succeed."""


@dataclass(frozen=True, slots=True)
class Expert:
    """The scripted expert with privileged state; thinks within a tick."""


@dataclass(frozen=True, slots=True)
class Learned:
    """A policy from a checkpoint, in its own process."""

    checkpoint: Path
    device: Device
    dtype: Precision
    quantise: EightBit | None

    def start(self, body: str) -> PolicyProcess:
        """The process that plans for `body`."""
        arithmetic = {"device": self.device, "dtype": self.dtype, "quantise": self.quantise}
        asked = {"checkpoint": str(self.checkpoint), "embodiment": body, "threads": 1}
        return PolicyProcess(XR0_FACTORY, asked | arithmetic)


Player = Hold | Expert | Learned


def player_named(config: ShiftConfig) -> Player:
    """`hold`, `expert`, `nano` (the packaged checkpoint) or a checkpoint's folder.

    Raises:
        TaktError: an arithmetic was asked of a player that has no model.
    """
    arithmetic = (config.device, config.dtype, config.quantise)
    if config.policy in ("hold", "expert") and arithmetic != ("cpu", "float32", None):
        raise TaktError(
            f"--device, --dtype and --quantise are for checkpoints, and {config.policy!r} has no "
            "model; leave them out"
        )
    match config.policy:
        case "hold":
            return Hold()
        case "expert":
            return Expert()
        case "nano":
            return Learned(packaged_checkpoint("nano_station"), *arithmetic)
        case folder:
            return Learned(Path(folder), *arithmetic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A player ready to work: its worker, how its plans are chained, their delay in ticks."""

    worker: PolicyWorker
    chunking: Chunking
    horizon: int
    delay: int
    latency_ms: float
    digest: str


def take_seat(
    player: Player, station: "NutStation", *, mode: Mode, latency_ms: float, grey: bool
) -> Seat:
    """The player's seat at the station; close its worker afterwards.

    Raises:
        ChunkingError: the plans are too short for the latency.
        TaktError: the expert was to be blinded.
    """
    if grey and isinstance(player, Expert):
        raise TaktError("--grey hides images, which the expert never looks at; choose a policy")
    delay = delay_ticks(latency_ms, station.spec.rate_hz)
    match player:
        case Expert():
            from takt.simulation.nut_station.expert import ScriptedExpert

            return Seat(
                worker=InlinePolicy(ScriptedExpert(station)),
                chunking=Synchronous(1),
                horizon=1,
                delay=0,
                latency_ms=0.0,
                digest="expert",
            )
        case Hold():
            facts, digest = HOLD, "hold"
        case Learned(checkpoint):
            facts = read_chunking(checkpoint, station.spec.name)
            digest = folder_digest(checkpoint)
    chunking = chain(mode, facts, delay)
    if isinstance(player, Learned):
        worker = player.start(station.spec.name)
    else:
        worker = InlinePolicy(HoldPolicy(station.spec))
    return Seat(
        worker=GreyWorker(worker) if grey else worker,
        chunking=chunking,
        horizon=facts.horizon,
        delay=delay,
        latency_ms=latency_ms,
        digest=digest,
    )


def chain(mode: Mode, facts: CheckpointChunking, delay: int) -> Chunking:
    """How plans follow each other; a prefix is as long as the inference (Δt_c = Δt_inf).

    Raises:
        ChunkingError: the policy plans too short chunks for the delay, or knows shorter prefixes.
    """
    match mode:
        case "async":
            prefixed = TrainingTimeRTC if facts.prefix_time == "one" else LambdaPrefix
            chunking = prefixed(facts.execute, prefix=delay)
        case "naive":
            chunking = NaiveAsynchronous(facts.execute)
        case "sync":
            chunking = Synchronous(facts.execute)
    try:
        validate(chunking, facts.horizon, delay)
    except ChunkingError as error:
        raise ChunkingError(
            f"this policy is too slow or plans too short chunks for that latency ({error}); "
            "lower --latency-ms or run --mode sync"
        ) from error
    if isinstance(chunking, Prefixed) and chunking.prefix > facts.max_prefix:
        raise ChunkingError(
            f"expected a prefix of at most {facts.max_prefix} actions, as trained, "
            f"got {chunking.prefix}; lower --latency-ms or run --mode naive or sync"
        )
    return chunking


class HoldPolicy:
    """Plans to stay where the cycle began."""

    def __init__(self, spec: EmbodimentSpec) -> None:
        """Nothing is held yet."""
        self._spec = spec
        self._pose: np.ndarray | None = None

    def reset(self, seed: int) -> None:
        """Forget the pose."""
        self._pose = None

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        """The first pose, `horizon` times."""
        if self._pose is None:
            self._pose = hold_target(observation, self._spec)
        actions = np.repeat(self._pose[None], HOLD.horizon, axis=0)
        return ActionChunk(stamp=observation.stamp, dt=self._spec.dt, actions=actions)


class GreyWorker:
    """The same policy, blind: every image it is handed is mid grey."""

    def __init__(self, worker: PolicyWorker) -> None:
        """Wrap `worker`."""
        self._worker = worker

    def reset(self, seed: int) -> None:
        """Begin a new episode."""
        self._worker.reset(seed)

    def submit(self, observation: Observation, committed: ActionChunk | None) -> None:
        """Hand on all but the images."""
        images: Mapping[str, np.ndarray] = {
            name: np.full_like(image, MID_GREY) for name, image in observation.images.items()
        }
        self._worker.submit(replace(observation, images=images), committed)

    def ready(self) -> bool:
        """Whether the plan is here."""
        return self._worker.ready()

    def result(self) -> Inference:
        """The plan."""
        return self._worker.result()

    def close(self) -> None:
        """Release the policy."""
        self._worker.close()
