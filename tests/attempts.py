"""Attempts at the nut station that recording workers can import by name; seconds, not minutes."""

import os
import signal
import time

import numpy as np

from takt.simulation.nut_station.demonstration import LabelledStation
from takt.simulation.nut_station.station import NutStation
from takt.types import Episode, TaktError

TICKS = 3


def first_ticks(station: NutStation, seed: int) -> Episode | None:
    """The first ticks of a labelled expert's cycle; every third seed is a failure."""
    if seed % 3 == 1:
        return None
    body = LabelledStation(station, seed)
    for _ in range(TICKS):
        body.act(body.label.astype(np.float32))
    return body.episode()


class TwoFactsError(TaktError):
    """An error whose constructor unpickling does not know how to call."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f"expected {expected}, got {got}")


def refused(station: NutStation, seed: int) -> Episode | None:
    """No attempt without magnet."""
    raise TwoFactsError("a magnet", "none")


def killed(station: NutStation, seed: int) -> Episode | None:
    """The kernel takes the process."""
    os.kill(os.getpid(), signal.SIGKILL)
    return None


def slow_start(station: NutStation, seed: int) -> Episode | None:
    """The first seed comes last."""
    if seed == 0:
        time.sleep(0.5)
    return first_ticks(station, seed)


def endless_second(station: NutStation, seed: int) -> Episode | None:
    """Only the first seed ever comes."""
    if seed > 0:
        time.sleep(3600)
    return first_ticks(station, seed)
