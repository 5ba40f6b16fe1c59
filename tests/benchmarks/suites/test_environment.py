"""Environments are made where nothing of a user's lies."""

from pathlib import Path

import pytest

from takt.benchmarks.suites.environment import make_environment
from takt.benchmarks.suites.registry import make_suite
from takt.benchmarks.suites.suite import SuiteError


def test_a_folder_that_is_no_environment_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TAKT_ENVIRONMENTS", str(tmp_path))
    monkeypatch.setattr("takt.benchmarks.suites.environment._pip", lambda *_: None)
    (checkout := tmp_path / "calvin").mkdir()
    (checkout / "thesis.tex").write_text("three years")
    with pytest.raises(SuiteError, match="TAKT_ENVIRONMENTS"):
        make_environment("calvin")
    assert (checkout / "thesis.tex").exists()


def test_options_of_another_version_are_named() -> None:
    with pytest.raises(SuiteError, match="wheels"):
        make_suite("metaworld", {"wheels": 4})
