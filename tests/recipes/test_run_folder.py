"""One folder, one set of settings."""

import pytest

from takt.recipes import run_folder
from takt.recipes.run_folder import claim
from takt.types import TaktError

SETTINGS = {"episodes": 3, "training": {"lr": 1e-3, "points": (1, 2)}}


def test_the_same_settings_go_on(tmp_path):
    claim(tmp_path / "run", SETTINGS)
    claim(tmp_path / "run", SETTINGS)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({**SETTINGS, "episodes": 4}, "episodes: 3, now 4"),
        ({**SETTINGS, "training": {"lr": 2e-3, "points": (1, 2)}}, "training.lr: 0.001, now 0.002"),
        ({"episodes": 3}, "now None"),
    ],
)
def test_other_settings_are_refused_by_name(tmp_path, settings, named):
    claim(tmp_path, SETTINGS)
    with pytest.raises(TaktError, match=named):
        claim(tmp_path, settings)


@pytest.fixture
def ended(monkeypatch):
    """Lets go of what this process claimed, as its end does."""

    def end():
        for file in run_folder._HELD.values():
            file.close()
        run_folder._HELD.clear()

    return end


def test_a_run_that_kept_nothing_and_ended_makes_room(tmp_path, ended):
    other = {**SETTINGS, "episodes": 4}
    claim(tmp_path, SETTINGS)
    (tmp_path / "post").mkdir()
    (tmp_path / "post" / "metrics.jsonl").touch()
    with pytest.raises(TaktError, match="other settings"):
        claim(tmp_path, other)
    ended()
    claim(tmp_path, other)
    assert not (tmp_path / "post" / "metrics.jsonl").exists()
    (tmp_path / "post" / "weights.safetensors").touch()
    ended()
    with pytest.raises(TaktError, match="episodes: 4, now 3"):
        claim(tmp_path, SETTINGS)


def test_the_option_is_named_where_what_follows_from_it_differs(tmp_path):
    steps = {"training": {"steps": 5}, "asked": {"--scale": 0.1, "--seed": 0}}
    claim(tmp_path, steps)
    claim(tmp_path, {**steps, "asked": {"--scale": 0.11, "--seed": 0}})
    with pytest.raises(TaktError, match=r"\(--scale: 0.1, now 0.2\); do it"):
        claim(tmp_path, {"training": {"steps": 9}, "asked": {"--scale": 0.2, "--seed": 0}}, "do it")
    claim(tmp_path / "old", {"training": {"steps": 5}})
    with pytest.raises(TaktError, match="training.steps: 5, now 9"):
        claim(tmp_path / "old", {"training": {"steps": 9}, "asked": {"--scale": 0.2}})
