"""One checkpoint planning for one body, for as many robots at once as ask.

Axes: B robot, T chunk step, P committed action, A body axis, D model column.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from takt.policies.xr0.cache import PromptInputs, stack_prompts
from takt.policies.xr0.checkpoint import Checkpoint, runnable
from takt.policies.xr0.checkpoint_files import CheckpointError
from takt.policies.xr0.engines import Engines
from takt.policies.xr0.memory import named_shortage
from takt.policies.xr0.processor import XR0Processor
from takt.transforms.actions import ActionTransform
from takt.transforms.slots import Slots
from takt.transforms.states import StateTransform
from takt.types import ActionChunk, EmbodimentSpec, Observation, TaktError

_ALIGNMENT_TICKS = 1e-3  # a committed action further off the observation's stamp is another tick's


class ObservationError(TaktError):
    """An observation the policy cannot act on."""


@dataclass(frozen=True, slots=True)
class Job:
    """A robot's question, and where its noise comes from."""

    observation: Observation
    committed: ActionChunk | None
    noise: torch.Generator


@dataclass(frozen=True, slots=True)
class _Row:
    """A job that fits the body; `prefix` (P, A) absolute actions.

    `state` (D,) and `clean` (P, D), the prefix, are normalised.
    """

    observation: Observation
    prefix: np.ndarray
    inputs: PromptInputs
    state: np.ndarray
    clean: np.ndarray


class XR0Planner:
    """Keeps nothing of a robot between its questions. Not for concurrent use.

    Attributes:
        embodiment: The body.
        horizon: T.
        max_prefix: Committed actions that a chunk keeps at most.
    """

    def __init__(self, checkpoint: Checkpoint, embodiment: EmbodimentSpec) -> None:
        """Raises a `CheckpointError` if it does not know the body, or reads more than one state."""
        statistics = checkpoint.body(embodiment.name)
        config = checkpoint.model.config
        if config.state_length != 1:
            raise CheckpointError(
                f"expected a checkpoint that reads one state, got a history of "
                f"{config.state_length}; keep the history yourself and call `XR0.sample`"
            )
        self.embodiment = embodiment
        self.horizon = statistics.action.horizon
        self.max_prefix = min(config.contract.max_prefix, self.horizon)
        self._model = runnable(checkpoint.model).eval()
        self._actions = ActionTransform.of(embodiment, statistics.action)
        slots = Slots(embodiment.state_slots, config.state_dim)
        self._states = StateTransform(slots, statistics.state)
        views = [camera.view for camera in embodiment.cameras]
        self._processor = XR0Processor(config, checkpoint.tokenizer, views)
        self._mask = torch.from_numpy(statistics.action.mask)[None]
        served = config.contract.prefix_time == "chunk"
        self._engines = Engines(self._model, self.horizon) if served else None

    def plan(self, jobs: Sequence[Job]) -> list[ActionChunk]:
        """Chunks of `jobs`, in their order; those with prompts of one length run together.

        Where the contract has no engine, their prefixes must be of one length, too.

        Raises:
            ObservationError: Cameras, image sizes, state or a committed chunk's clock do not fit;
                no noise is drawn then.
        """
        rows = [self._row(job) for job in jobs]
        noise = [torch.randn(self._mask.shape, generator=job.noise) for job in jobs]
        alike: dict[tuple[int, int], list[int]] = {}
        for number, row in enumerate(rows):
            length = 0 if self._engines else len(row.prefix)
            alike.setdefault((row.inputs.input_ids.shape[1], length), []).append(number)
        found: dict[int, ActionChunk] = {}
        for numbers in alike.values():
            group = [rows[number] for number in numbers]
            chunks = self._integrate(group, torch.cat([noise[number] for number in numbers]))
            for number, row, chunk in zip(numbers, group, chunks, strict=True):
                found[number] = self._finish(row, chunk)
        return [found[number] for number in range(len(jobs))]

    def add_robot(self) -> None:
        """One robot more will ask."""
        if self._engines:
            self._engines.room += 1

    def warm_up(self) -> None:
        """Prepare for the body's own instruction and for every number of robots at once."""
        if self._engines is None:
            return
        cameras, instruction = self.embodiment.cameras, self.embodiment.instruction
        blank = [np.zeros((1, camera.height, camera.width, 3), np.uint8) for camera in cameras]
        inputs = self._processor(blank, [instruction])
        for robots in range(1, self._engines.room + 1):
            self._engines.of(stack_prompts([inputs] * robots))

    def _integrate(self, rows: Sequence[_Row], noise: Tensor) -> np.ndarray:
        """(B, T, D) chunks, still normalised."""
        inputs = stack_prompts([row.inputs for row in rows])
        states = np.stack([row.state for row in rows])
        state = torch.from_numpy(states)[:, None]
        lengths = [len(row.prefix) for row in rows]
        prefix = self._prefixes(rows, max(lengths)) if any(lengths) else None
        if self._engines:
            chunks = self._engines.plan(inputs, state, self._mask, noise, prefix, lengths)
        else:
            chunks = self._sample(inputs, state, noise, prefix)
        return chunks.float().cpu().numpy()

    def _prefixes(self, rows: Sequence[_Row], longest: int) -> Tensor:
        """(B, P, D) normalised, zeros behind those that are shorter."""
        prefixes = torch.zeros(len(rows), longest, self._mask.shape[2])
        for place, row in zip(prefixes, rows, strict=True):
            place[: len(row.clean)] = torch.from_numpy(row.clean)
        return prefixes

    def _sample(
        self, inputs: PromptInputs, state: Tensor, noise: Tensor, prefix: Tensor | None
    ) -> Tensor:
        device = self._model.sink.weight.device
        state, mask, noise = (x.to(device) for x in (state, self._mask, noise))
        clean = None if prefix is None else prefix.to(device)
        with named_shortage(self._model, inputs):
            return self._model.sample(inputs.to(device), state, mask, noise, clean)

    def _finish(self, row: _Row, chunk: np.ndarray) -> ActionChunk:
        actions = self._actions.inverse(chunk, row.observation.state)
        actions[: len(row.prefix)] = row.prefix
        space = self.embodiment.action_space
        return ActionChunk(
            stamp=row.observation.stamp,
            dt=self.embodiment.dt,
            actions=np.clip(actions, space.low, space.high),
        )

    def _row(self, job: Job) -> _Row:
        seen = job.observation
        self._check(seen)
        prefix = self._prefix(seen, job.committed)
        with np.errstate(over="ignore", invalid="ignore"):
            state, clean = self._states.forward(seen.state), np.empty((0, self._mask.shape[2]))
            if len(prefix):
                clean = self._actions.forward(prefix, seen.state)
        if not (np.isfinite(state).all() and np.isfinite(clean).all()):
            raise ObservationError(
                "expected a state and committed actions of this body, got some too large to be "
                "normalised; are they in its units?"
            )
        images = [seen.images[camera.name][None] for camera in self.embodiment.cameras]
        inputs = self._processor(images, [seen.instruction])
        return _Row(seen, prefix, inputs, state, clean)

    def _prefix(self, observation: Observation, committed: ActionChunk | None) -> np.ndarray:
        """(P, A) absolute actions due from the observation's stamp on, at most `max_prefix`."""
        if committed is None or self.max_prefix == 0:
            return np.empty((0, len(self.embodiment.slots)), np.float32)
        dt = self.embodiment.dt
        ticks = (observation.stamp - committed.stamp) / dt
        first = round(ticks)
        axes, actions = len(self.embodiment.slots), committed.actions
        if actions.shape[1] != axes or not np.isfinite(actions).all():
            raise ObservationError(
                f"expected committed actions of {axes} finite numbers each, "
                f"got shape {actions.shape}{', not all finite' * (actions.shape[1] == axes)}; "
                "hand back what `infer` returned"
            )
        aligned = abs(ticks - first) <= _ALIGNMENT_TICKS and abs(committed.dt / dt - 1) <= 1e-6
        if not aligned or not 0 <= first < len(committed.actions):
            raise ObservationError(
                f"committed actions must be due at the observation's {observation.stamp:.4f} s "
                f"in ticks of {dt:.4f} s; got {len(committed.actions)} "
                f"from {committed.stamp:.4f} s on, every {committed.dt:.4f} s"
            )
        return committed.actions[first : first + self.max_prefix].astype(np.float32)

    def _check(self, observation: Observation) -> None:
        cameras = {camera.name: camera for camera in self.embodiment.cameras}
        if set(observation.images) != set(cameras):
            raise ObservationError(
                f"expected images of cameras {sorted(cameras)}, got {sorted(observation.images)}"
            )
        for name, camera in cameras.items():
            shape = observation.images[name].shape
            if shape != (camera.height, camera.width, 3):
                raise ObservationError(
                    f"camera {name!r}: expected ({camera.height}, {camera.width}, 3), got {shape}"
                )
        axes = self.embodiment.state_names
        if observation.state.shape != (len(axes),):
            raise ObservationError(
                f"expected a state of {len(axes)} axes, got {observation.state.shape}"
            )
        if not np.isfinite(observation.state).all():
            bad = [axes[i] for i in np.flatnonzero(~np.isfinite(observation.state))]
            raise ObservationError(
                f"state is not finite on {', '.join(bad)}; refusing to plan from it"
            )
