"""The tracking policy: one sample as `Policy`, or many episodes' inferences in one batch.

Angles in rad; a chunk is planned relative to where the body was observed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from takt.embodiments.track.spec import SPEC
from takt.policies.track import sampling
from takt.policies.track.checkpoint import load
from takt.policies.track.model import TrackDiT
from takt.types import ActionChunk, Observation


@dataclass(slots=True)
class Memory:
    """What one episode keeps: its noise, and the last plan where the sampler looks at it."""

    rng: np.random.Generator
    last: ActionChunk | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One inference."""

    memory: Memory
    observation: Observation
    committed: ActionChunk | None


class TrackPlanner:
    """Plans for many episodes at once."""

    def __init__(
        self, model: TrackDiT, *, guided: bool = False, guided_steps: int | None = None
    ) -> None:
        """Plan with `model`.

        Args:
            model: The network.
            guided: Inpaint by guidance at inference (RTC) instead of by a clean prefix.
            guided_steps: Actions behind the committed ones that the old plan guides; None for
                all that it has, as published.
        """
        self._model, self._guided = model, guided
        self._guided_steps = model.config.horizon if guided_steps is None else guided_steps

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        guided: bool = False,
        guided_steps: int | None = None,
        threads: int = 1,
    ) -> "TrackPlanner":
        """A trained network; `threads` are torch's in this process.

        Raises:
            TrackCheckpointError: no network is there.
        """
        torch.set_num_threads(threads)
        return cls(load(path), guided=guided, guided_steps=guided_steps)

    def begin(self, seed: int) -> Memory:
        """A new episode, whose noise depends on `seed` only."""
        return Memory(np.random.default_rng(seed))

    def plan(self, jobs: Sequence[Job]) -> list[ActionChunk]:
        """Chunks of `jobs`, in their order; those alike are computed together."""
        found: dict[int, ActionChunk] = {}
        noise = [self._noise(job) for job in jobs]
        kinds = [self._kind(job) for job in jobs]
        for kind in sorted(set(kinds)):
            rows = [row for row, other in enumerate(kinds) if other == kind]
            same = [jobs[row] for row in rows]
            chunks = self._sample(same, torch.stack([noise[row] for row in rows]), *kind)
            for row, job, actions in zip(rows, same, chunks, strict=True):
                found[row] = self._finish(job, actions)
        return [found[row] for row in range(len(jobs))]

    def _noise(self, job: Job) -> Tensor:
        config = self._model.config
        drawn = job.memory.rng.standard_normal((config.horizon, config.action_dim))
        return torch.from_numpy(drawn.astype(np.float32))

    def _kind(self, job: Job) -> tuple[int, int]:
        """Committed actions, and how many are known of the time from the observation on.

        Guidance also knows what the last plan said of the time behind the committed ones.
        """
        committed = 0 if job.committed is None else len(job.committed.actions)
        last = job.memory.last
        if not self._guided or last is None:
            return committed, committed
        left = len(last.actions) - last.index_at(job.observation.stamp)
        return committed, max(committed, min(left, committed + self._guided_steps))

    def _sample(self, jobs: Sequence[Job], noise: Tensor, committed: int, known: int) -> np.ndarray:
        """(B, T, D) absolute actions."""
        model = self._model
        raw = torch.from_numpy(np.stack([job.observation.state for job in jobs]))
        place, state = raw[:, : model.config.action_dim], model.normalised(raw)
        if model.config.network == "streaming":
            chunk = sampling.sample_streamed(model, state, noise)
        elif known == 0:
            chunk = sampling.sample(model, state, noise)
        else:
            past = torch.from_numpy(np.stack([_past(job, committed, known) for job in jobs]))
            old = model.encode(past, place)
            if self._guided:
                weights = sampling.guidance_weights(model.config.horizon, committed, known)
                fill = (0, 0, 0, model.config.horizon - known)
                old = torch.nn.functional.pad(old, fill)
                chunk = sampling.sample_guided(model, state, noise, old, weights[None])
            else:
                chunk = sampling.sample(model, state, noise, old)
        return model.decode(chunk, place).numpy()

    def _finish(self, job: Job, actions: np.ndarray) -> ActionChunk:
        space = SPEC.action_space
        chunk = ActionChunk(
            stamp=job.observation.stamp,
            dt=SPEC.dt,
            actions=np.clip(actions, space.low, space.high),
        )
        job.memory.last = chunk
        return chunk


class TrackPolicy:
    """A planner and the memory of one episode: a `Policy`."""

    def __init__(self, planner: TrackPlanner) -> None:
        """Seed 0 until it is reset."""
        self._planner = planner
        self._memory = planner.begin(0)

    def reset(self, seed: int) -> None:
        """Start an episode whose noise depends on `seed` only."""
        self._memory = self._planner.begin(seed)

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        """Plan from `observation.stamp`; committed actions come back as the chunk's start."""
        return self._planner.plan([Job(self._memory, observation, committed)])[0]


def _past(job: Job, committed: int, known: int) -> np.ndarray:
    """(known, D): the committed actions, then what the last plan said of the time after them."""
    parts, last = [], job.memory.last
    if job.committed is not None:
        parts.append(job.committed.actions[:committed])
    if known > committed and last is not None:
        later = last.index_at(job.observation.stamp) + committed
        parts.append(last.actions[later : later + known - committed])
    return np.concatenate(parts).astype(np.float32)
