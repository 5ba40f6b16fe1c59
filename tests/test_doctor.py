"""`takt doctor` tries the real thing and says how to mend what is missing."""

import json
import os

import pytest

from takt.commands import doctor as command
from takt.doctor import CHECKS, check_gpu, check_real_time, check_renderer, check_video
from takt.extras import EXTRAS


@pytest.fixture
def without(monkeypatch):
    """Makes an extra look as if it were not installed."""
    return lambda extra: monkeypatch.setitem(EXTRAS, extra, ("takt_no_such_module",))


def test_renderer_really_renders():
    check = check_renderer()
    assert check.status in ("ok", "warn"), check
    assert check.measures["frame_ms"] > 0


def test_a_broken_renderer_names_the_packages(monkeypatch):
    monkeypatch.setattr("takt.doctor.sys.executable", "/bin/false")
    check = check_renderer()
    assert check.status == "fail"
    assert "libegl1" in check.advice


def test_video_round_trip():
    assert check_video().status == "ok"


@pytest.mark.parametrize(("check", "extra"), [(check_renderer, "sim"), (check_video, "data")])
def test_a_missing_extra_is_named(check, extra, without):
    without(extra)
    found = check()
    assert found.status == "fail"
    assert f".[{extra}]" in found.advice


def test_no_torch_and_no_driver_is_only_a_warning(without, monkeypatch):
    without("train")
    monkeypatch.setattr("takt.doctor.shutil.which", lambda name: None)
    assert check_gpu().status == "warn"


def test_real_time_priority_is_given_back():
    before = os.sched_getscheduler(0)
    check_real_time()
    assert os.sched_getscheduler(0) == before


def test_json_has_stable_names(capsys):
    assert command.main(["--json"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(report) == {"ready", "checks"}
    names = [check["name"] for check in report["checks"]]
    assert names == ["renderer", "gpu", "real_time", "video", "processor", "versions", "disk"]
    assert len(names) == len(CHECKS)
    for check in report["checks"]:
        assert set(check) == {"name", "status", "found", "advice", "measures"}
        assert (check["status"] == "ok") or check["advice"]


def test_table_says_what_to_do(capsys, without):
    without("data")
    assert command.main([]) == 0
    assert ".[data]" in capsys.readouterr().out
