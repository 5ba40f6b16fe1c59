"""What is said of a body's data before a policy is trained on it."""

from takt.datasets.body import BodyEpisodes
from takt.datasets.doubts import doubts
from takt.datasets.errors import DatasetError, RateMismatchError


def data_warnings(source: BodyEpisodes) -> list[str]:
    """A line for whatever trains badly, and for damage: training stops at it, or leaves it out.

    Raises:
        RateMismatchError: the timestamps contradict info.json, so that all actions would be wrong.
    """
    try:
        return [f"warning: {doubt}" for doubt in doubts(source)]
    except RateMismatchError:
        raise
    except DatasetError as error:
        return [f"warning: {error}"]
