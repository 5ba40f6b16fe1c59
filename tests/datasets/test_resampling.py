"""Datasets at another rate, by the rule that deployment aligns with."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from takt.cli import main
from takt.datasets.errors import CaptureTimeError
from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.lerobot_source import LeRobotSource
from takt.datasets.resampling import Resampled, measure_skews, shared_ticks
from takt.datasets.writer import LeRobotWriter
from takt.transforms.alignment import align
from takt.types import Episode, TaktError

IMAGES = Path(__file__).parents[1] / "data" / "lerobot" / "v21_image_0.3.2"
TICKS = np.arange(12) / 30
CAPTURES = {
    "top": TICKS - 0.010,  # always 10 ms old
    "hand": np.repeat(TICKS[::3], 3),  # 10 Hz: every frame three times
}


@pytest.fixture
def source(
    root: Path, writer: LeRobotWriter, make_episode: Callable[..., Episode]
) -> LeRobotSource:
    """One episode of twelve ticks at 30 Hz; column 0 of state and actions is the time."""
    rows = np.stack([TICKS, np.ones(12), -TICKS], axis=1).astype(np.float32)
    writer.add_episode(make_episode(0, state=rows, actions=rows, image_stamps=CAPTURES))
    return LeRobotSource.open(root)


@pytest.mark.parametrize("rule", ["causal", "nearest"])
@pytest.mark.parametrize("rate_hz", [10.0, 25.0, 60.0])
def test_every_tick_is_aligned_by_the_rule(source: LeRobotSource, rate_hz: float, rule) -> None:
    old = source.episode(0)
    new = Resampled(source=source, rate_hz=rate_hz, rule=rule).episode(0)
    assert len(new.stamps) == int(11 / 30 * rate_hz + 1e-6) + 1
    for tick, stamp in enumerate(new.stamps):
        wanted = align(stamp, old.image_stamps, old.stamps, old.state, rule)
        np.testing.assert_array_equal(new.state[tick], wanted.joints)
        for name, row in wanted.frames.items():
            np.testing.assert_array_equal(new.images[name][tick], old.images[name][row])
            assert new.image_stamps[name][tick] == min(old.image_stamps[name][row], stamp)
    if rule == "causal":
        np.testing.assert_allclose(new.actions[:, 0], new.stamps, atol=1e-6)


def test_nothing_comes_from_the_future(source: LeRobotSource) -> None:
    new = Resampled(source=source, rate_hz=50.0).episode(0)
    for captured in new.image_stamps.values():
        assert (captured <= new.stamps + 1e-6).all()


def test_ticks_begin_when_every_stream_has() -> None:
    streams = {"rows": np.array([0.0, 0.1, 0.2]), "top": np.array([0.05, 0.12])}
    np.testing.assert_allclose(shared_ticks(streams, 20.0, Path()), [0.05, 0.1, 0.15, 0.2])
    streams["top"] += 1
    with pytest.raises(CaptureTimeError, match="after the last row"):
        shared_ticks(streams, 20.0, Path())


def test_skew(source: LeRobotSource) -> None:
    skews = measure_skews(source, 30.0, "causal")
    assert skews["joints"].max_s == pytest.approx(0, abs=1e-9)
    assert (skews["top"].mean_s, skews["top"].max_s) == pytest.approx((0.010, 0.010))
    assert (skews["hand"].mean_s, skews["hand"].max_s) == pytest.approx((1 / 30, 2 / 30))


def test_times_that_go_backwards(
    root: Path, writer: LeRobotWriter, make_episode: Callable[..., Episode]
) -> None:
    captures = {"top": TICKS - np.where(np.arange(12) == 5, 0.05, 0), "hand": TICKS}
    writer.add_episode(make_episode(0, image_stamps=captures))
    with pytest.raises(CaptureTimeError, match="'top': capture times go backwards after row 4"):
        Resampled(source=LeRobotSource.open(root), rate_hz=30.0).episode(0)


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_that_is_none(source: LeRobotSource, rate_hz: float) -> None:
    with pytest.raises(TaktError, match="above 0 Hz"):
        Resampled(source=source, rate_hz=rate_hz)


def test_align_command(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "align", str(IMAGES), str(root), "--rate", "5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["written"][0]["episodes"] == 4
    assert set(found["skew"]) == {"joints", "front", "wrist"}
    dataset = LeRobotDataset.open(root)
    assert dataset.metadata.fps == 5
    assert [record.length for record in dataset.metadata.episodes] == [6, 8, 5, 10]
    assert set(dataset.episode(3).instructions) == set(LeRobotDataset.open(IMAGES).table(3).tasks)
