"""What is said of a dataset's rows before a policy is trained on them; no image is read."""

from dataclasses import replace

from takt.datasets.body import BodyEpisodes, require_finite
from takt.datasets.doubts import doubts
from takt.datasets.errors import BadEpisodeError, DatasetError, EpisodeError, RateMismatchError
from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.metadata import ACTION, STATE


def sound_rows(dataset: LeRobotDataset, *, skip_bad: bool) -> LeRobotDataset:
    """What is left of `dataset` without the episodes whose rows are damaged.

    Raises:
        BadEpisodeError: there is such an episode, and it is not to be skipped.
        DatasetError: no episode is left; the first one's fault.
    """
    metadata, kept, faults = dataset.metadata, [], list[DatasetError]()
    for index, record in enumerate(metadata.episodes):
        try:
            table = dataset.table(index)
            require_finite(table.state, STATE, index, metadata)
            require_finite(table.actions, ACTION, index, metadata)
        except DatasetError as error:
            if not (skip_bad or isinstance(error, RateMismatchError)):
                raise BadEpisodeError(EpisodeError.of(error, index)) from error
            faults.append(error)
        else:
            kept.append(record)
    if faults and not (kept and skip_bad):
        raise faults[0]
    return LeRobotDataset(metadata=replace(metadata, episodes=tuple(kept)))


def data_warnings(source: BodyEpisodes) -> list[str]:
    """A line for whatever trains badly, and for damage: training stops at it, or leaves it out.

    Raises:
        RateMismatchError: the timestamps contradict info.json, so that all actions would be wrong.
        DatasetError: no episode can be read.
    """
    found: list[object] = []
    try:
        source.dataset.metadata.check_complete()
    except DatasetError as error:
        found.append(error)
    try:
        found += doubts(source)
    except RateMismatchError:
        raise
    except DatasetError as error:
        found.append(error)
        found += doubts(replace(source, dataset=sound_rows(source.dataset, skip_bad=True)))
    return [f"warning: {line}" for line in found]
