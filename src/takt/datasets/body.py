"""A dataset as one body sees it: its axes by name, its cameras, at its rate."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from takt.datasets.episode_table import require_finite
from takt.datasets.errors import (
    CameraMismatchError,
    FeatureMismatchError,
    RateMismatchError,
)
from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.metadata import ACTION, STATE, DatasetMetadata
from takt.embodiments.draft import Recording
from takt.types import EmbodimentSpec, Episode


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyEpisodes:
    """Episodes with the columns of `spec` only; `state[k]` is the stored column of axis k."""

    dataset: LeRobotDataset
    spec: EmbodimentSpec
    state: tuple[int, ...]
    actions: tuple[int, ...]

    @classmethod
    def of(cls, dataset: LeRobotDataset, spec: EmbodimentSpec) -> "BodyEpisodes":
        """Find the body's axes and cameras in the dataset; nothing is decoded.

        Raises:
            FeatureMismatchError: An axis is not in the dataset.
            CameraMismatchError: A camera is not, or has another size.
            RateMismatchError: The dataset was recorded at another rate.
        """
        metadata = dataset.metadata
        if spec.rate_hz != metadata.fps:
            raise RateMismatchError(
                metadata.root,
                f"expected {spec.rate_hz:g} Hz, the rate of body {spec.name!r}, got "
                f"{metadata.fps:g}; correct rate_hz in the body's file or resample the data",
            )
        known = {camera.name: (camera.height, camera.width) for camera in metadata.cameras}
        for camera in spec.cameras:
            expected, found = (camera.height, camera.width), known.get(camera.name)
            if found != expected:
                raise CameraMismatchError(
                    metadata.root,
                    f"expected camera {camera.name!r} of {expected}, got {found or 'none'}; "
                    f"the dataset has {known}: correct the cameras in the body's file",
                )
        return cls(
            dataset=dataset,
            spec=spec,
            state=_columns(metadata, STATE, spec.state_names, spec),
            actions=_columns(metadata, ACTION, spec.action_space.names, spec),
        )

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.dataset)

    def length(self, index: int) -> int:
        """Ticks of an episode."""
        return self.dataset.metadata.episodes[index].length

    def episode(self, index: int) -> Episode:
        """One episode with the body's columns and cameras.

        Raises:
            DatasetError: A file is missing or damaged, or a number in it is not finite.
        """
        episode = self.dataset.episode(index, [camera.name for camera in self.spec.cameras])
        state, actions = episode.state[:, self.state], episode.actions[:, self.actions]
        for key, rows in ((STATE, state), (ACTION, actions)):
            require_finite(rows, key, self.dataset.metadata.episodes[index])
        return replace(
            episode,
            state=np.ascontiguousarray(state),
            actions=np.ascontiguousarray(actions),
        )


def axis_names(metadata: DatasetMetadata, key: str) -> tuple[str, ...]:
    """Distinct names of the axes of state or action, () where the dataset has none."""
    feature = metadata.feature(key)
    return feature.axes if feature else ()


def describe(dataset: LeRobotDataset) -> Recording:
    """What a body's file can be drafted from; reads every row, no image.

    Raises:
        DatasetError: A file is missing or damaged, or there is no episode.
    """
    metadata = dataset.metadata
    tables = list(dataset.tables())
    if not sum(len(table.stamps) for table in tables):
        raise FeatureMismatchError(metadata.root, "expected at least one frame, got none")
    for record, table in zip(metadata.episodes, tables, strict=True):
        require_finite(table.state, STATE, record)
        require_finite(table.actions, ACTION, record)
    actions = np.concatenate([table.actions for table in tables])
    state = np.concatenate([table.state for table in tables])
    names = axis_names(metadata, STATE), axis_names(metadata, ACTION)
    offset = None
    if names[0] == names[1]:
        offset = float(np.median(np.abs(actions - state).mean(0) / (state.std(0) + 1e-6)))
    tasks = [task for table in tables for task in table.tasks if task]
    return Recording(
        name=metadata.embodiment if metadata.embodiment != "unknown" else metadata.root.name,
        rate_hz=metadata.fps,
        instruction=tasks[0] if tasks else "Do the task.",
        cameras={camera.name: (camera.height, camera.width) for camera in metadata.cameras},
        state=names[0],
        actions=names[1],
        low=actions.min(0),
        high=actions.max(0),
        offset=offset,
    )


def _columns(
    metadata: DatasetMetadata, key: str, axes: Sequence[str], spec: EmbodimentSpec
) -> tuple[int, ...]:
    names = axis_names(metadata, key)
    missing = [axis for axis in axes if axis not in names]
    if missing:
        raise FeatureMismatchError(
            metadata.root,
            f"expected the axes {missing} of body {spec.name!r} in {key}, which has: "
            f"{', '.join(names) or 'nothing'}; name them so in the body's file"
            + (" or give it a state of its own" if key == STATE and not spec.state_space else ""),
        )
    return tuple(names.index(axis) for axis in axes)
