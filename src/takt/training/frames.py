"""A dataset's frames in memory, and the batches that every stage draws from them.

Axes: N frame, V view, B batch, T chunk step, A body axis, D policy column, P named point.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from takt.policies.xr0.cache import PromptInputs
from takt.policies.xr0.processor import XR0Processor
from takt.transforms.actions import ActionTransform
from takt.transforms.states import StateTransform
from takt.types import EmbodimentSpec, Episode, TaktError


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """Every tick of every episode, row by row.

    Attributes:
        images: (N, V, height, width, 3) uint8; all views have one size.
        state: (N, A).
        actions: (N, A) absolute.
        points: (N, P, 2) image coordinates, outside [-1, 1] where unseen; P may be 0.
        plans: (N, L, A) absolute actions planned at each frame, all zero where none was; or L = 0:
            then a chunk is what was done from the frame on.
        last: (N,) row of the episode's last tick.
    """

    images: np.ndarray
    state: np.ndarray
    actions: np.ndarray
    points: np.ndarray
    plans: np.ndarray
    last: np.ndarray

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.last)

    def usable(self) -> np.ndarray:
        """Rows that a chunk can start from."""
        if self.plans.shape[1]:
            return np.flatnonzero(self.plans[:, 0].any(1))
        return np.arange(len(self))

    def save(self, folder: Path) -> None:
        """Write one .npy file per field, so that every rank maps the same pages."""
        folder.mkdir(parents=True, exist_ok=True)
        for field in fields(self):
            np.save(folder / f"{field.name}.npy", getattr(self, field.name))

    @classmethod
    def map(cls, folder: Path) -> "Frames":
        """Open what `save` wrote without reading it."""
        paths = {field.name: folder / f"{field.name}.npy" for field in fields(cls)}
        return cls(**{name: np.load(path, mmap_mode="r") for name, path in paths.items()})

    def chunk(self, rows: np.ndarray, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        """(B, T, A) actions from `rows` on and (B, T) validity; tails repeat the last action."""
        if self.plans.shape[1]:
            return self.plans[rows, :horizon], np.ones((len(rows), horizon), bool)
        steps = rows[:, None] + np.arange(horizon)
        valid = steps <= self.last[rows][:, None]
        return self.actions[np.minimum(steps, self.last[rows][:, None])], valid


def stack_episodes(
    episodes: Iterable[Episode],
    spec: EmbodimentSpec,
    points_key: str | None = None,
    plan_key: str | None = None,
) -> Frames:
    """Collect episodes of one body; raises if a camera or the body differs from `spec`.

    `points_key` and `plan_key` name the extra columns that hold image points and plans.
    """
    images, states, actions, points, plans, lengths = [], [], [], [], [], []
    for episode in episodes:
        missing = {camera.name for camera in spec.cameras} - set(episode.images)
        if missing or episode.actions.shape[1] != len(spec.slots):
            raise TaktError(
                f"episode of {episode.embodiment!r}: expected cameras and axes of {spec.name!r}, "
                f"missing cameras {sorted(missing)}, {episode.actions.shape[1]} axes"
            )
        images.append(np.stack([episode.images[camera.name] for camera in spec.cameras], axis=1))
        states.append(episode.state)
        actions.append(episode.actions)
        ticks = len(episode.stamps)
        named = episode.extras[points_key] if points_key else np.zeros((ticks, 0), np.float32)
        points.append(named.reshape(ticks, -1, 2))
        planned = episode.extras[plan_key] if plan_key else np.zeros((ticks, 0), np.float32)
        plans.append(planned.reshape(ticks, -1, len(spec.slots)))
        lengths.append(ticks)
    if not lengths:
        raise TaktError("expected at least one episode to train on, got none; record some first")
    ends = np.cumsum(lengths) - 1
    return Frames(
        images=np.concatenate(images),
        state=np.concatenate(states),
        actions=np.concatenate(actions),
        points=np.concatenate(points),
        plans=np.concatenate(plans),
        last=np.repeat(ends, lengths),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a stage's loss sees.

    Prompt, state (B, 1, D), chunk (B, T, D), valid (B, T), points (B, P, 2).
    """

    inputs: PromptInputs
    state: Tensor
    actions: Tensor
    valid: Tensor
    points: Tensor


class Batcher:
    """Draws batches; each depends on its generator only, so a resumed run sees the same ones."""

    def __init__(
        self,
        frames: Frames,
        spec: EmbodimentSpec,
        processor: XR0Processor,
        actions: ActionTransform,
        states: StateTransform,
        point_mirror: Sequence[int] = (),
    ) -> None:
        """`point_mirror[i]` is the point whose mirror image is point i."""
        self.frames = frames
        self._rows = frames.usable()
        self.action_mask = torch.from_numpy(actions.normalise.mask)[None]
        self._spec = spec
        self._processor = processor
        self._actions = actions
        self._states = states
        self._point_mirror = list(point_mirror)

    def draw(self, size: int, generator: torch.Generator) -> Batch:
        """`size` frames at random; half of them mirrored if the body has a mirror symmetry."""
        draws = torch.randint(len(self._rows), (size,), generator=generator).numpy()
        rows = self._rows[draws]
        flips = torch.rand(size, generator=generator).numpy() < 0.5
        return self.batch(rows, flips & (self._spec.mirror is not None))

    def batch(self, rows: np.ndarray, mirrored: np.ndarray) -> Batch:
        """The given frames; `mirrored` (B,) boolean."""
        images, state = self.frames.images[rows], self.frames.state[rows]
        actions, valid = self.frames.chunk(rows, self._actions.normalise.horizon)
        points = self.frames.points[rows]
        if mirrored.any() and self._spec.mirror is not None:
            axes, signs = (
                list(self._spec.mirror.axes),
                np.array(self._spec.mirror.signs, np.float32),
            )
            views = images[mirrored][:, list(self._spec.mirror.cameras), :, ::-1]
            images[mirrored] = views
            state[mirrored] = state[mirrored][:, axes] * signs
            actions[mirrored] = actions[mirrored][:, :, axes] * signs
            points[mirrored] = points[mirrored][:, self._point_mirror] * [-1, 1]
        prompts = [self._spec.instruction] * len(rows)
        views = [np.ascontiguousarray(images[:, v]) for v in range(images.shape[1])]
        return Batch(
            inputs=self._processor(views, prompts),
            state=torch.from_numpy(self._states.forward(state))[:, None],
            actions=torch.from_numpy(self._actions.forward(actions, state)),
            valid=torch.from_numpy(valid),
            points=torch.from_numpy(points),
        )
