"""A missing extra is named together with the command that installs it."""

import pytest

from takt.extras import EXTRAS, missing_modules, require_extra
from takt.types import TaktError


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(EXTRAS, "warp", ("json", "takt_no_such_drive"))
    with pytest.raises(TaktError, match=r"takt fly needs takt_no_such_drive.*'\.\[warp\]'"):
        require_extra("warp", "takt fly")


def test_an_installed_extra_passes(monkeypatch):
    monkeypatch.setitem(EXTRAS, "here", ("json", "numpy"))
    require_extra("here", "takt fly")
    assert missing_modules("here") == []
