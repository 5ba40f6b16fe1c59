"""Statistics against those of expected.json, and moments against NumPy."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.moments import QUANTILES, Moments
from takt.datasets.statistics import Statistics, embodiment_statistics
from takt.datasets.writer import LeRobotWriter
from takt.types import EmbodimentSpec, Episode, TaktError

EXTRAS = {"annotation.points": 4, "annotation.phase": 1}
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


def test_merged_quantiles_are_weighted_means() -> None:
    """As in lerobot; a part without quantiles leaves none."""
    few, many = Moments.of(np.full((1, 2), 4.0)), Moments.of(np.zeros((3, 2)))
    assert set(few.quantiles) == set(QUANTILES)
    np.testing.assert_allclose(Moments.merged([few, many]).quantiles["q50"], [1.0, 1.0])
    assert Moments.merged([few, replace(many, quantiles={})]).quantiles == {}


@pytest.fixture
def recorded(root: Path, spec: EmbodimentSpec, make_episode: Callable[..., Episode]) -> Path:
    with LeRobotWriter(root, spec, extras=EXTRAS, touch=2) as writer:
        for seed in range(2):
            touch = np.random.default_rng(seed).normal(size=(12, 2)).astype(np.float32)
            writer.add_episode(make_episode(seed, touch=touch + 5 * seed))
    return root


def stored(root: Path) -> dict[str, dict[str, Any]]:
    return json.loads((root / "meta" / "stats.json").read_text())


def test_stats_json_holds_what_that_of_lerobot_holds(recorded: Path) -> None:
    for root in (recorded, FIXTURES / "v30_video_0.6.1"):
        features = json.loads((root / "meta" / "info.json").read_text())["features"]
        stats = stored(root)
        assert set(stats) == set(features)
        for key, fields in stats.items():
            assert set(fields) == {"min", "max", "mean", "std", "count", *QUANTILES}
            image = features[key]["dtype"] == "video"
            for name in set(fields) - {"count"}:
                assert np.shape(fields[name]) == (
                    (3, 1, 1) if image else (*features[key]["shape"],)
                )
    top = stored(recorded)["observation.images.top"]
    assert 0 <= top["q10"][0][0][0] <= top["q90"][0][0][0] <= 1


def test_stats_json_tells_the_truth_about_touch_and_extras(recorded: Path) -> None:
    tables, stats = list(LeRobotDataset.open(recorded).tables()), stored(recorded)
    touch = np.concatenate([table.touch for table in tables if table.touch is not None])
    points = np.concatenate([table.extras["annotation.points"] for table in tables])
    for key, rows in (("observation.touch", touch), ("annotation.points", points)):
        np.testing.assert_allclose(stats[key]["mean"], rows.mean(0, dtype=float))
        np.testing.assert_allclose(stats[key]["std"], rows.std(0, dtype=float))
    np.testing.assert_allclose(stats["observation.touch"]["q01"], np.quantile(touch, 0.01, axis=0))
    assert stats["index"]["max"] == [23]


def test_statistics_cover_touch_and_extras(recorded: Path) -> None:
    body = embodiment_statistics([LeRobotDataset.open(recorded)])["toy"]
    assert body.touch is not None
    assert body.touch.count == body.extras["annotation.points"].count == 24
    assert body.touch.q50[0] == pytest.approx(stored(recorded)["observation.touch"]["q50"][0])


def test_rows_with_fewer_statistics_can_be_appended_to(
    recorded: Path, spec: EmbodimentSpec, make_episode: Callable[..., Episode]
) -> None:
    """Earlier recordings held state, action and images, without quantiles."""
    wanted = stored(recorded)
    kept = ("observation.state", "action", "observation.images.top", "observation.images.hand")
    for path in (recorded / "meta" / "episodes").rglob("*.parquet"):
        row = pq.read_table(path)
        names = [name.split("/") for name in row.column_names]
        drop = [
            "/".join(parts)
            for parts in names
            if parts[0] == "stats" and (parts[1] not in kept or parts[2] in QUANTILES)
        ]
        pq.write_table(row.drop_columns(drop), path)
    with LeRobotWriter(recorded, spec, extras=EXTRAS, touch=2):
        pass
    found = stored(recorded)
    for key, fields in wanted.items():
        image = key.startswith("observation.images.")
        for name in ("min", "max", "mean", "std", "count") if image else fields:
            np.testing.assert_allclose(found[key][name], fields[name])
    assert "q50" not in found["observation.images.top"]
