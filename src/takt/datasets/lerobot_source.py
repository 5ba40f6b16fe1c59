"""A LeRobot dataset as a source of episodes, also where its columns have other names."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from takt.datasets.errors import CorruptFileError, FeatureMismatchError
from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.metadata import (
    ACTION,
    BOOKKEEPING,
    CAPTURE,
    STATE,
    TOUCH,
    DatasetMetadata,
    Feature,
)
from takt.datasets.schema import Schema
from takt.datasets.source import recorded_schema
from takt.types import Episode

# The format's own name first; the second is that of MolmoAct and of openpi's conversions.
STATE_KEYS = (STATE, "state")
ACTION_KEYS = (ACTION, "actions")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeRobotSource:
    """Episodes of a LeRobot v2.1 or v3.0 dataset; columns that are no vector are left out.

    Where the metadata of episodes is lost, one more episode at the end says so.
    """

    dataset: LeRobotDataset
    schema: Schema
    state_key: str
    action_key: str
    lost: CorruptFileError | None

    @classmethod
    def open(cls, root: Path) -> "LeRobotSource":
        """Read the metadata of the dataset in `root`.

        Raises:
            DatasetError: no dataset, damaged metadata, or it has no state or action.
        """
        dataset = LeRobotDataset.open(Path(root))
        metadata, lost = dataset.metadata, None
        try:
            metadata.check_complete()
        except CorruptFileError as error:
            lost = error
        state, action = _vector(metadata, STATE_KEYS), _vector(metadata, ACTION_KEYS)
        captures = [CAPTURE + camera.name for camera in metadata.cameras]
        own = {STATE, ACTION, TOUCH, *BOOKKEEPING, *captures, state.key, action.key}
        touch = metadata.feature(TOUCH)
        schema = recorded_schema(
            metadata.embodiment,
            metadata.fps,
            {camera.name: (camera.height, camera.width) for camera in metadata.cameras},
            state.axes,
            action.axes,
            {f.key: f.width for f in metadata.features if f.width and f.key not in own},
            (touch.width or 0) if touch else 0,
        )
        return cls(
            dataset=dataset,
            schema=schema,
            state_key=state.key,
            action_key=action.key,
            lost=lost,
        )

    def __len__(self) -> int:
        """Number of episodes, and one more if any are lost."""
        return len(self.dataset) + (self.lost is not None)

    def path(self, index: int) -> Path:
        """The parquet file that holds the episode's rows."""
        if index == len(self.dataset) and self.lost is not None:
            return self.lost.path
        return self.dataset.metadata.episodes[index].data_path

    def episode(self, index: int, cameras: Sequence[str] | None = None) -> Episode:
        """Read one episode with the images of `cameras`; see `LeRobotDataset.episode`."""
        if index == len(self.dataset) and self.lost is not None:
            raise self.lost
        episode = self.dataset.episode(index, cameras)
        columns = {STATE: episode.state, ACTION: episode.actions, **episode.extras}
        return replace(
            episode,
            state=columns[self.state_key],
            actions=columns[self.action_key],
            extras={name: episode.extras[name] for name in self.schema.extras},
        )


def _vector(metadata: DatasetMetadata, keys: tuple[str, ...]) -> Feature:
    for key in keys:
        feature = metadata.feature(key)
        if feature is not None and feature.width:
            return feature
    raise FeatureMismatchError(
        metadata.root,
        f"expected a column {' or '.join(keys)}, got {[f.key for f in metadata.features]}; record "
        "one, or rename the one that is meant",
    )
