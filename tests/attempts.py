"""Attempts at the nut station that recording workers can import by name; seconds, not minutes."""

import numpy as np

from takt.simulation.nut_station.demonstration import LabelledStation
from takt.simulation.nut_station.station import NutStation
from takt.types import Episode

TICKS = 3


def first_ticks(station: NutStation, seed: int) -> Episode | None:
    """The first ticks of a labelled expert's cycle; every third seed is a failure."""
    if seed % 3 == 1:
        return None
    body = LabelledStation(station, seed)
    for _ in range(TICKS):
        body.act(body.label.astype(np.float32))
    return body.episode()
