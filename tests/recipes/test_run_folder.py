"""One folder, one set of settings."""

import pytest

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
