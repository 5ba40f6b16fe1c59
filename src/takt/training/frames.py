"""A dataset's frames in memory.

Axes: N frame, V view, B batch, T chunk step, A body axis, L planned step, P named point.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from takt.datasets.frame_shards import FrameShards
from takt.training.sharded_images import ShardedImages
from takt.types import EmbodimentSpec, Episode, TaktError

SHARDS = "images"  # folder beside the arrays


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """Every tick that a chunk can start from, row by row.

    Attributes:
        images: (N, V, height, width, 3) uint8; a smaller view lies in the top left corner. As
            JPEG shards where they are large or many.
        sizes: (V, 2) height and width of each view.
        state: (N, A).
        actions: (N, A) absolute.
        points: (N, P, 2) image coordinates, outside [-1, 1] where unseen; P may be 0.
        plans: (N, L, A) absolute actions planned at each frame; or L = 0: then a chunk is what was
            done from the frame on.
        last: (N,) row of the episode's last one.
        instructions: (N,) text of each frame's task, "" where the dataset names none.
    """

    images: np.ndarray | ShardedImages
    sizes: np.ndarray
    state: np.ndarray
    actions: np.ndarray
    points: np.ndarray
    plans: np.ndarray
    last: np.ndarray
    instructions: np.ndarray

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.last)

    def save(self, folder: Path) -> None:
        """Write one .npy file per field, so that every rank maps the same pages.

        Sharded images are where they are: `folder` must be that of their shards' folder.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for field in fields(self):
            if not isinstance(value := getattr(self, field.name), ShardedImages):
                np.save(folder / f"{field.name}.npy", value)

    @classmethod
    def map(cls, folder: Path) -> "Frames":
        """Open what `save` wrote without reading it."""
        paths = {field.name: folder / f"{field.name}.npy" for field in fields(cls)}
        arrays = {n: np.load(p, mmap_mode="r") for n, p in paths.items() if p.exists()}
        if "images" not in arrays:
            arrays["images"] = ShardedImages(FrameShards.open(folder / SHARDS))
        return cls(**arrays)

    @classmethod
    def join(cls, parts: "Sequence[Frames]") -> "Frames":
        """All parts in one, in order; their views have the same sizes."""
        starts = np.cumsum([0, *(len(part) for part in parts)])
        shifted = [
            replace(part, last=part.last + start)
            for part, start in zip(parts, starts[:-1], strict=True)
        ]
        joined = {
            field.name: np.concatenate([getattr(part, field.name) for part in shifted])
            for field in fields(cls)
            if field.name != "sizes"
        }
        return cls(sizes=parts[0].sizes, **joined)

    def take(self, rows: np.ndarray, horizon: int) -> "Samples":
        """The frames `rows` (B,) in memory, each with its chunk."""
        actions, valid = self.chunk(rows, horizon)
        return Samples(
            images=self.images[rows],
            state=self.state[rows],
            actions=actions,
            valid=valid,
            points=self.points[rows],
            instructions=self.instructions[rows],
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
    actions (B, T, A), valid (B, T), points (B, P, 2), instructions (B,).
    """

    images: np.ndarray
    state: np.ndarray
    actions: np.ndarray
    valid: np.ndarray
    points: np.ndarray
    instructions: np.ndarray

    @classmethod
    def join(cls, parts: "Sequence[Samples]") -> "Samples":
        """All parts in one, in order."""
        names = [field.name for field in fields(cls)]
        return cls(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})


Fit = Callable[[np.ndarray], np.ndarray]
"""Resizes one view's images, (tick, height, width, 3) uint8."""


def stack_episodes(
    episodes: Iterable[Episode],
    spec: EmbodimentSpec,
    points_key: str | None = None,
    plan_key: str | None = None,
    fit: Fit | None = None,
) -> Frames:
    """Collect episodes of one body.

    `points_key` and `plan_key` name the extra columns that hold image points and plans. Ticks
    without a plan (all zero) are left out if there is a `plan_key`. `fit` makes the images smaller.

    Raises:
        TaktError: no episode, or one whose cameras, image sizes, axes, rate or columns are not
            the body's.
    """
    parts = [_frames(episode, spec, points_key, plan_key, fit) for episode in episodes]
    if not parts:
        raise TaktError("expected at least one episode to train on, got none; record some first")
    return Frames.join(parts)


def _frames(
    episode: Episode,
    spec: EmbodimentSpec,
    points_key: str | None,
    plan_key: str | None,
    fit: Fit | None,
) -> Frames:
    _require_body(episode, spec, [key for key in (points_key, plan_key) if key])
    ticks = len(episode.stamps)
    none = np.zeros((ticks, 0), np.float32)
    points = episode.extras[points_key] if points_key else none
    plans = episode.extras[plan_key] if plan_key else none
    kept = plans.any(1) if plan_key else np.ones(ticks, bool)
    count = int(kept.sum())
    views = [episode.images[camera.name][kept] for camera in spec.cameras]
    views = views if fit is None else [fit(view) for view in views]
    instructions = np.array(episode.instructions or (episode.instruction,) * ticks, np.str_)
    return Frames(
        images=_on_one_canvas(views),
        sizes=np.array([view.shape[1:3] for view in views]),
        state=episode.state[kept],
        actions=episode.actions[kept],
        points=points[kept].reshape(count, -1, 2),
        plans=plans[kept].reshape(count, -1, len(spec.slots)),
        last=np.full(count, count - 1),
        instructions=instructions[kept],
    )


def _on_one_canvas(views: Sequence[np.ndarray]) -> np.ndarray:
    """(N, V, height, width, 3), as high and as wide as the largest view."""
    height, width = (max(view.shape[axis] for view in views) for axis in (1, 2))
    if all(view.shape[1:3] == (height, width) for view in views):
        return np.stack(views, axis=1)
    canvas = np.zeros((len(views[0]), len(views), height, width, 3), np.uint8)
    for index, view in enumerate(views):
        canvas[:, index, : view.shape[1], : view.shape[2]] = view
    return canvas


def _require_body(episode: Episode, spec: EmbodimentSpec, keys: Sequence[str]) -> None:
    """Raise with every difference between the episode and what the body's policy expects."""
    wrong = [
        f"{what} {expected}, got {got}"
        for what, expected, got in (
            ("axes", len(spec.slots), episode.actions.shape[1]),
            ("state axes", len(spec.state_slots), episode.state.shape[1]),
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
