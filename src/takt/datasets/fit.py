"""Whether an episode fits the dataset that it should be appended to."""

from pathlib import Path

import numpy as np

from takt.datasets.errors import (
    CameraMismatchError,
    CaptureTimeError,
    DatasetError,
    EpisodeError,
    FeatureMismatchError,
    RateMismatchError,
)
from takt.datasets.metadata import ACTION, STATE
from takt.datasets.schema import Schema
from takt.datasets.source import EpisodeSource
from takt.types import EmbodimentSpec, Episode


def require_even(spec: EmbodimentSpec, root: Path) -> None:
    """Raise a `CameraMismatchError` for images that H.264, which stores colour at half the
    resolution, cannot hold."""
    odd = [camera for camera in spec.cameras if camera.height % 2 or camera.width % 2]
    if odd:
        camera = odd[0]
        raise CameraMismatchError(
            root,
            f"camera {camera.name!r}: expected an even height and width for H.264 video, got "
            f"{camera.height} x {camera.width}",
        )


def check_fit(episode: Episode, schema: Schema, root: Path) -> None:
    """Refuse an episode that the dataset in `root` has no columns, cameras or times for.

    Raises:
        FeatureMismatchError, RateMismatchError, CameraMismatchError, CaptureTimeError
    """
    spec = schema.spec
    if episode.embodiment != spec.name:
        raise FeatureMismatchError(
            root, f"expected an episode of {spec.name!r}, got one of {episode.embodiment!r}"
        )
    if not len(episode.stamps):
        raise FeatureMismatchError(root, "expected at least one tick, the episode has none")
    _check_columns(episode, schema, root)
    _check_rate(episode, spec.rate_hz, root)
    _check_cameras(episode, spec, root)


def sound_episode(source: EpisodeSource, index: int) -> Episode:
    """Read an episode that fits its source's schema; errors name its number in `source`.

    Raises:
        EpisodeError: it is damaged, missing, or does not fit.
    """
    try:
        episode = source.episode(index)
        check_fit(episode, source.schema, source.path(index))
    except DatasetError as error:
        raise EpisodeError.of(error, index) from error
    return episode


def _check_columns(episode: Episode, schema: Schema, root: Path) -> None:
    columns = {
        "state": (episode.state, len(schema.axes[STATE])),
        "actions": (episode.actions, len(schema.axes[ACTION])),
    }
    touch = np.zeros((0, 0)) if episode.touch is None else episode.touch
    columns["touch"] = (touch, schema.touch)
    for name in {**schema.extras, **episode.extras}:
        rows = np.asarray(episode.extras.get(name, np.zeros((0, 0))))
        columns[name] = (rows, schema.extras.get(name, 0))
    for name, (rows, expected) in columns.items():
        if rows.ndim != 2 or rows.shape[1] != expected:
            raise FeatureMismatchError(
                root,
                f"{name}: expected (tick, {expected}), got {rows.shape}; record into a new folder",
            )
        wrong = np.flatnonzero(~np.isfinite(rows).all(1))
        if len(wrong):
            raise FeatureMismatchError(
                root, f"{name}: expected finite numbers, got another", frame=int(wrong[0])
            )


def _check_cameras(episode: Episode, spec: EmbodimentSpec, root: Path) -> None:
    expected = {camera.name: camera for camera in spec.cameras}
    if set(episode.images) != set(expected) or set(episode.image_stamps) != set(expected):
        raise CameraMismatchError(
            root, f"expected the cameras {sorted(expected)}, got {sorted(episode.images)}"
        )
    for name, frames in episode.images.items():
        size = (len(episode.stamps), expected[name].height, expected[name].width, 3)
        if frames.shape != size or frames.dtype != np.uint8:
            raise CameraMismatchError(
                root, f"camera {name!r}: expected {size} uint8, got {frames.shape} {frames.dtype}"
            )
    for name, captured in episode.image_stamps.items():
        if captured.shape != episode.stamps.shape:
            raise CaptureTimeError(
                root,
                f"camera {name!r}: expected one capture time a tick, got {captured.shape}",
            )
        wrong = np.flatnonzero(~((captured <= episode.stamps) & np.isfinite(captured)))
        if len(wrong):
            tick = wrong[0]
            raise CaptureTimeError(
                root,
                f"camera {name!r}: expected capture times up to their tick's "
                f"{episode.stamps[tick]:.4f} s, got {captured[tick]:.4f} s at tick {tick}; "
                "bring both to one clock",
            )


def _check_rate(episode: Episode, rate_hz: float, root: Path) -> None:
    if episode.rate_hz != rate_hz:
        raise RateMismatchError(root, f"expected {rate_hz:g} Hz, got {episode.rate_hz:g} Hz")
    late = np.abs(episode.stamps - np.arange(len(episode.stamps)) / rate_hz).max()
    # Rows are stored as tick / rate: what is off that grid must be aligned first, not bent.
    if not late <= 0.1 / rate_hz:
        raise RateMismatchError(
            root, f"expected stamps at tick / {rate_hz:g} Hz from 0, one is {late:.4f} s off"
        )
