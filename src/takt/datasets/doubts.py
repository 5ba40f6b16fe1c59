"""What a policy will learn badly from data that can be read."""

import numpy as np

from takt.datasets.body import BodyEpisodes
from takt.datasets.dead_axes import dead_axes
from takt.datasets.rates import measure_rates
from takt.datasets.statistics import Statistics


def doubts(source: BodyEpisodes) -> list[str]:
    """A line for each camera that is too slow and each axis that is still; reads no image.

    Raises:
        RateMismatchError: the timestamps contradict info.json.
        DatasetError: a file is missing or damaged.
        TaktError: there is no frame.
    """
    rates = measure_rates(source.dataset)
    found = [
        f"camera {name!r} delivers {rates.captures[name]:.4g} Hz into rows of {rates.declared:g} "
        "Hz: some rows repeat a frame; resample the data to the camera's rate"
        for name in rates.slow_cameras()
    ]
    tables, spec = list(source.dataset.tables()), source.spec
    state = np.concatenate([table.state for table in tables])[:, source.state]
    actions = np.concatenate([table.actions for table in tables])[:, source.actions]
    still = [
        *dead_axes("state", spec.state_names, Statistics.of(state)),
        *dead_axes("action", spec.action_space.names, Statistics.of(actions)),
    ]
    advice = "record data that moves it, or leave it out of the axes in the body's file"
    return found + [f"{axis}: {advice}" for axis in still]
