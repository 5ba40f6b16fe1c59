"""Statistics against those of expected.json, and moments against NumPy."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.moments import Moments
from takt.datasets.statistics import QUANTILES, Statistics, embodiment_statistics
from takt.types import TaktError

FIXTURES = Path(__file__).parents[1] / "data" / "lerobot"
NAMES = sorted(path.name for path in FIXTURES.iterdir() if path.is_dir())


@pytest.mark.parametrize("name", NAMES)
def test_statistics_of_the_fixtures(name: str, expected: dict[str, Any]) -> None:
    """True quantiles: the ones stored in stats.json are means of per-episode quantiles."""
    body = embodiment_statistics([LeRobotDataset.open(FIXTURES / name)])["toy_arm"]
    common = expected["common"]
    assert body.num_episodes == 4
    for key, got in (("observation.state", body.state), ("action", body.action)):
        wanted = common[key]["stats"]
        assert got.count == wanted["count"][0]
        for field in ("min", "max", "mean", "std"):
            np.testing.assert_allclose(getattr(got, field), wanted[field], atol=2e-6)
        for field in QUANTILES:
            quantile = common["true_quantiles_numpy_linear"][key][field]
            np.testing.assert_allclose(getattr(got, field), quantile, atol=2e-6)


def test_datasets_of_one_body_are_pooled() -> None:
    names = ["v21_image_0.3.2", "v30_image_0.6.1"]
    pooled = embodiment_statistics(LeRobotDataset.open(FIXTURES / name) for name in names)
    assert list(pooled) == ["toy_arm"]
    assert pooled["toy_arm"].num_episodes == 8
    assert pooled["toy_arm"].state.count == 112


def test_no_rows_is_an_error() -> None:
    with pytest.raises(TaktError, match="at least one row"):
        Statistics.of(np.zeros((0, 3), np.float32))


def test_merged_moments_are_those_of_all_rows() -> None:
    draw = np.random.default_rng(0)
    parts = [draw.normal(loc=k, size=(5 + 7 * k, 3)) for k in range(4)]
    merged, whole = Moments.merged([Moments.of(part) for part in parts]), np.concatenate(parts)
    assert merged.count == len(whole)
    for name in ("min", "max", "mean", "std"):
        np.testing.assert_allclose(getattr(merged, name), getattr(whole, name)(axis=0), rtol=1e-12)
