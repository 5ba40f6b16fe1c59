import pytest

from takt.simulation.nut_station.station import NutStation


@pytest.fixture(scope="session")
def station():
    """One station for all tests: each resets it to a seed of its own."""
    station = NutStation()
    yield station
    station.close()
