"""`takt data stats`: by step, dead axes, and rates that are not what they claim."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from takt.cli import main
from takt.datasets.dead_axes import dead_axes
from takt.datasets.lerobot import LeRobotDataset
from takt.datasets.rates import measure_rates
from takt.datasets.statistics import Statistics
from takt.datasets.step_statistics import step_statistics
from takt.datasets.writer import LeRobotWriter
from takt.types import Episode, TaktError

IMAGES = Path(__file__).parents[1] / "data" / "lerobot" / "v21_image_0.3.2"
Make = Callable[..., Episode]
Edit = Callable[[Path, Callable[[dict[str, Any]], object]], None]


@pytest.mark.parametrize("relative", [False, True])
def test_steps(root: Path, writer: LeRobotWriter, make_episode: Make, relative: bool) -> None:
    episodes = [make_episode(seed, ticks) for seed, ticks in enumerate((7, 3))]
    for episode in episodes:
        writer.add_episode(episode)
    found = step_statistics(list(LeRobotDataset.open(root).tables()), 5, relative=relative)
    for step in range(5):
        rows = np.array(
            [
                e.actions[t + step].astype(np.float64) - relative * e.state[t]
                for e in episodes
                for t in range(len(e.stamps) - step)
            ]
        )
        np.testing.assert_allclose(found.mean[step], rows.mean(0), atol=1e-6)
        np.testing.assert_allclose(found.std[step], rows.std(0), atol=1e-6)
        np.testing.assert_allclose(found.q99[step], np.quantile(rows, 0.99, axis=0), atol=1e-6)


def test_a_horizon_longer_than_every_episode() -> None:
    tables = list(LeRobotDataset.open(IMAGES).tables())
    with pytest.raises(TaktError, match="1 to 20 steps"):
        step_statistics(tables, 21, relative=False)


def test_why_nothing_is_relative_to_the_state_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "stats", str(IMAGES), "--horizon", "2"]) == 0
    shown = capsys.readouterr()
    assert "action, absolute, step 1" in shown.out
    assert "no steps relative to the state" in shown.err


def test_dead_axes() -> None:
    rows = np.zeros((1000, 3), np.float32)
    rows[:, 0], rows[0, 1], rows[:, 2] = 0.5, 1.0, np.linspace(0, 1, 1000)
    still, spike = dead_axes("action", ("x", "y"), Statistics.of(rows))
    assert str(still) == "action axis 'x' is always 0.5 (std 0.0e+00)"
    assert "action axis 'y' hardly ever leaves 0 (q01 = q99" in str(spike)


def test_a_wrong_fps(
    copy_fixture: Callable[[str], Path], edit_info: Edit, capsys: pytest.CaptureFixture[str]
) -> None:
    root = copy_fixture(IMAGES.name)
    edit_info(root, lambda info: info.update(fps=30))
    assert main(["data", "stats", str(root)]) == 2
    shown = capsys.readouterr().err
    assert "info.json: fps: expected the rate of the timestamps, 10 Hz, got 30" in shown


def test_a_slow_camera_and_a_dead_axis_are_named(
    root: Path, writer: LeRobotWriter, make_episode: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    stamps = np.arange(12) / 30
    halved = np.repeat(stamps[::2], 2)  # a frame for every second tick
    for seed in range(2):
        actions = np.tile(np.array([seed, 0.25, 2], np.float32), (12, 1))
        captures = {"top": halved, "hand": stamps - 0.002}
        writer.add_episode(make_episode(seed, actions=actions, image_stamps=captures))
    rates = measure_rates(LeRobotDataset.open(root))
    assert rates.timestamps == pytest.approx(30, rel=1e-4)
    assert rates.captures == pytest.approx({"top": 15, "hand": 30})
    assert main(["data", "stats", str(root), "--json", "--horizon", "4"]) == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)["toy"]
    assert [(dead["column"], dead["axis"]) for dead in found["dead"]] == [
        ("action", "y"),
        ("action", "grip"),
    ]
    assert found["rates"][str(root)]["declared"] == 30
    assert np.shape(found["steps"]["relative"]["std"]) == (4, 3)
    assert "camera 'top' delivers 15 Hz into rows of 30 Hz" in shown.err
    assert "toy: action axis 'y' is always 0.25" in shown.err
    assert main(["data", "stats", str(root), "--horizon", "4"]) == 0
    assert "action, relative, step 3" in capsys.readouterr().out
