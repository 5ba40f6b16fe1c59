"""What is said of a dataset's rows before a policy is trained on them; no image is read."""

from dataclasses import replace

from takt.datasets.body import BodyEpisodes
from takt.datasets.doubts import doubts
from takt.datasets.episode_table import require_finite
from takt.datasets.errors import BadEpisodeError, DatasetError, EpisodeError
from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.metadata import ACTION, STATE
from takt.datasets.rates import measure_rates


def sound_rows(dataset: LeRobotDataset, *, skip_bad: bool) -> LeRobotDataset:
    """What is left of `dataset` without the episodes whose rows are damaged.

    Raises:
        BadEpisodeError: there is such an episode, and it is not to be skipped.
        RateMismatchError: the timestamps of all contradict info.json.
        DatasetError: all are damaged; the first one's fault.
    """
    metadata, kept, faults = dataset.metadata, [], list[EpisodeError]()
    for index, record in enumerate(metadata.episodes):
        try:
            table = dataset.table(index)
            require_finite(table.state, STATE, record)
            require_finite(table.actions, ACTION, record)
        except DatasetError as error:
            faults.append(EpisodeError.of(error, index))
        else:
            kept.append(record)
    if faults and not kept:
        measure_rates(dataset)
        raise faults[0]
    if faults and not skip_bad:
        raise BadEpisodeError(faults[0])
    return LeRobotDataset(metadata=replace(metadata, episodes=tuple(kept)))


def data_warnings(source: BodyEpisodes) -> list[str]:
    """A line for whatever trains badly, and for damage: training stops at it, or leaves it out.

    Raises:
        RateMismatchError: the timestamps contradict info.json, so that all actions would be wrong.
        DatasetError: there is no episode, or none whose rows can be read.
    """
    found: list[object] = []
    dataset = source.dataset
    if not len(dataset):
        raise DatasetError(dataset.metadata.root, "expected an episode, got none; record one first")
    try:
        dataset.metadata.check_complete()
    except DatasetError as error:
        found.append(error)
    try:
        found += doubts(source)
    except DatasetError as error:
        found.append(error)
        found += doubts(replace(source, dataset=sound_rows(dataset, skip_bad=True)))
    return [f"warning: {line}" for line in found]
