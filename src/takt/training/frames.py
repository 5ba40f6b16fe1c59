"""A dataset's frames in memory.

Axes: N frame, V view, B batch, T chunk step, A body axis, L planned step, P named point.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from takt.types import EmbodimentSpec, Episode, TaktError


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """Every tick that a chunk can start from, row by row.

    Attributes:
        images: (N, V, height, width, 3) uint8; all views have one size.
        state: (N, A).
        actions: (N, A) absolute.
        points: (N, P, 2) image coordinates, outside [-1, 1] where unseen; P may be 0.
        plans: (N, L, A) absolute actions planned at each frame; or L = 0: then a chunk is what was
            done from the frame on.
        last: (N,) row of the episode's last one.
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

    def take(self, rows: np.ndarray, horizon: int) -> "Samples":
        """The frames `rows` (B,) in memory, each with its chunk."""
        actions, valid = self.chunk(rows, horizon)
        return Samples(
            images=self.images[rows],
            state=self.state[rows],
            actions=actions,
            valid=valid,
            points=self.points[rows],
        )

    def chunk(self, rows: np.ndarray, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        """(B, T, A) actions from `rows` on and (B, T) validity; tails repeat the last action."""
        if self.plans.shape[1]:
            return self.plans[rows, :horizon], np.ones((len(rows), horizon), bool)
        steps = rows[:, None] + np.arange(horizon)
        valid = steps <= self.last[rows][:, None]
        return self.actions[np.minimum(steps, self.last[rows][:, None])], valid


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Frames with their chunks, as stored: images (B, V, height, width, 3), state (B, A),
    actions (B, T, A), valid (B, T), points (B, P, 2).
    """

    images: np.ndarray
    state: np.ndarray
    actions: np.ndarray
    valid: np.ndarray
    points: np.ndarray

    @classmethod
    def join(cls, parts: "Sequence[Samples]") -> "Samples":
        """All parts in one, in order."""
        names = [field.name for field in fields(cls)]
        return cls(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})


def stack_episodes(
    episodes: Iterable[Episode],
    spec: EmbodimentSpec,
    points_key: str | None = None,
    plan_key: str | None = None,
) -> Frames:
    """Collect episodes of one body.

    `points_key` and `plan_key` name the extra columns that hold image points and plans. Ticks
    without a plan (all zero) are left out if there is a `plan_key`.

    Raises:
        TaktError: no episode, or one whose cameras, image sizes, axes, rate or columns are not
            the body's.
    """
    parts: list[tuple[np.ndarray, ...]] = []
    for episode in episodes:
        keys = [key for key in (points_key, plan_key) if key]
        _require_body(episode, spec, keys)
        ticks = len(episode.stamps)
        none = np.zeros((ticks, 0), np.float32)
        points = episode.extras[points_key] if points_key else none
        plans = episode.extras[plan_key] if plan_key else none
        kept = plans.any(1) if plan_key else np.ones(ticks, bool)
        images = [episode.images[camera.name][kept] for camera in spec.cameras]
        parts.append(
            (
                np.stack(images, axis=1),
                episode.state[kept],
                episode.actions[kept],
                points[kept].reshape(kept.sum(), -1, 2),
                plans[kept].reshape(kept.sum(), -1, len(spec.slots)),
            )
        )
    if not parts:
        raise TaktError("expected at least one episode to train on, got none; record some first")
    lengths = [len(part[0]) for part in parts]
    images, state, actions, points, plans = (np.concatenate(c) for c in zip(*parts, strict=True))
    return Frames(
        images=images,
        state=state,
        actions=actions,
        points=points,
        plans=plans,
        last=np.repeat(np.cumsum(lengths) - 1, lengths),
    )


def _require_body(episode: Episode, spec: EmbodimentSpec, keys: Sequence[str]) -> None:
    """Raise with every difference between the episode and what the body's policy expects."""
    wrong = [
        f"{what} {expected}, got {got}"
        for what, expected, got in (
            ("axes", len(spec.slots), episode.actions.shape[1]),
            ("rate (Hz)", spec.rate_hz, episode.rate_hz),
        )
        if expected != got
    ]
    for camera in spec.cameras:
        expected = (camera.height, camera.width)
        images = episode.images.get(camera.name)
        got = images.shape[1:3] if images is not None else "none"
        if got != expected:
            wrong.append(f"camera {camera.name!r} {expected}, got {got}")
    wrong += [f"column {key!r}, got none" for key in keys if key not in episode.extras]
    if wrong:
        raise TaktError(
            f"episode of {episode.embodiment!r} is not of {spec.name!r}: expected "
            f"{'; '.join(wrong)}; record it with this body, or train with its own recipe"
        )
