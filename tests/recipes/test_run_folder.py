"""One folder, one set of settings."""

import pytest
import ranks

from takt.folder_lock import FolderInUseError, FolderLock
from takt.recipes import run_folder
from takt.recipes.run_folder import claim, only_run
from takt.training.checkpoint import DRAFT
from takt.training.parallel import launch
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
    (tmp_path / "post" / DRAFT).mkdir(parents=True)
    (tmp_path / "post" / "metrics.jsonl").touch()
    (tmp_path / "post" / DRAFT / "half.safetensors").touch()  # killed while it wrote its first
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


def test_one_run_at_a_time_is_at_work_in_a_folder(tmp_path):
    folder = tmp_path / "run"
    refused = pytest.raises(FolderInUseError, match="run: expected to be the only writer")
    with only_run(folder), refused, only_run(folder):
        pytest.fail("two runs")
    assert not folder.exists()  # it kept nothing
    with only_run(folder):
        claim(folder, SETTINGS)
    assert [path.name for path in folder.iterdir()] == ["run.json"]


def test_ranks_ask_for_their_folder_once_and_are_refused_together(tmp_path):
    lock = FolderLock(tmp_path)
    with pytest.raises(TaktError, match="expected to be the only writer"):
        launch(ranks.enter, 2, tmp_path)
    lock.release()
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["refused-0", "refused-1"]
