"""A look at a whole dataset that reports what is wrong instead of stopping at it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from takt.datasets.episode_table import EpisodeTable, require_finite
from takt.datasets.errors import DatasetError
from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.metadata import ACTION, STATE
from takt.datasets.statistics import Statistics


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """`problems` name their file. The statistics cover the sound episodes, None without any."""

    dataset: LeRobotDataset
    state: Statistics | None
    action: Statistics | None
    problems: tuple[DatasetError, ...]


def inspect(dataset: LeRobotDataset, *, decode: bool = False) -> Inspection:
    """Read every row and look for every video frame; with `decode`, decode every image too.

    An episode that is lost whole is a problem as well.
    """
    tables: list[EpisodeTable] = []
    problems: dict[str, DatasetError] = {}
    try:
        dataset.metadata.check_complete()
    except DatasetError as error:
        problems[str(error)] = error
    for index in range(len(dataset)):
        try:
            tables.append(_sound_table(dataset, index))
        except DatasetError as error:
            problems.setdefault(str(error), error)
        for error in _image_problems(dataset, index, decode):
            problems.setdefault(str(error), error)
    rows = sum(len(table.stamps) for table in tables)
    return Inspection(
        dataset=dataset,
        state=Statistics.of(np.concatenate([table.state for table in tables])) if rows else None,
        action=Statistics.of(np.concatenate([table.actions for table in tables])) if rows else None,
        problems=tuple(problems.values()),
    )


def _sound_table(dataset: LeRobotDataset, index: int) -> EpisodeTable:
    table = dataset.table(index)
    for key, rows in ((STATE, table.state), (ACTION, table.actions)):
        require_finite(rows, key, dataset.metadata.episodes[index])
    return table


def _image_problems(dataset: LeRobotDataset, index: int, decode: bool) -> Iterator[DatasetError]:
    for camera in dataset.metadata.cameras:
        try:
            if decode:
                dataset.images(index, camera.name)
            elif camera.is_video:
                dataset.check_video(index, camera.name)
        except DatasetError as error:
            yield error
