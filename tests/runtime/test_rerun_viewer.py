"""Ticks reach a rerun file, and a viewer that is slow or fails delays nobody."""

import sys
import threading
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from fakes import SPEC, WIDTH, FakeStation

from takt.extras import missing_modules
from takt.runtime.rerun_viewer import WAITING, RerunViewer
from takt.runtime.tick import Tick
from takt.types import TaktError

WITHOUT_RERUN = bool(missing_modules("rerun"))


def tick(number: int) -> Tick:
    return Tick(
        number=number,
        now=number * SPEC.dt,
        observation=FakeStation().observe(),
        planned=np.zeros(WIDTH, np.float32),
        executed=np.zeros(WIDTH, np.float32),
        chunk=0,
        index=number,
        held=False,
        waiting=False,
        authority="policy",
        causes=("bounds",),
        age_s=0.0,
        arrival=None,
    )


class FakeRerun(ModuleType):
    """The package and its stream in one; logs nothing while it is stuck."""

    def __init__(self) -> None:
        super().__init__("rerun")
        self.__spec__ = ModuleSpec("rerun", None)
        self.times: list[float] = []
        self.began, self.moves = threading.Event(), threading.Event()
        self.moves.set()
        self.full = self.ended = False

    def RecordingStream(self, name: str) -> "FakeRerun":  # noqa: N802
        return self

    def save(self, path: Path) -> None: ...

    def set_time(self, timeline: str, *, duration: float) -> None:
        self.began.set()
        self.moves.wait(10)
        self.times.append(duration)

    def log(self, entity: str, value: object) -> None:
        if self.full:
            raise OSError("no space")

    def disconnect(self) -> None:
        self.ended = True

    def Scalars(self, value: float) -> float:  # noqa: N802
        return value

    Image = TextLog = Scalars


@pytest.fixture
def rerun(monkeypatch: pytest.MonkeyPatch) -> FakeRerun:
    fake = FakeRerun()
    monkeypatch.setitem(sys.modules, "rerun", fake)
    return fake


def test_episodes_follow_each_other_on_one_time_line(tmp_path: Path, rerun: FakeRerun) -> None:
    with RerunViewer(tmp_path / "run.rrd", SPEC) as viewer:
        for number in (*range(3), *range(2)):
            viewer.on_tick(tick(number))
    assert viewer.dropped == 0
    assert rerun.ended
    np.testing.assert_allclose(rerun.times, np.array([0, 1, 2, 2, 3]) * SPEC.dt)


def test_a_slow_viewer_loses_ticks_says_so_and_delays_nobody(
    tmp_path: Path, rerun: FakeRerun, caplog: pytest.LogCaptureFixture
) -> None:
    rerun.moves.clear()
    with RerunViewer(tmp_path / "run.rrd", SPEC) as viewer:
        viewer.on_tick(seen := tick(0))
        assert rerun.began.wait(10)
        for _ in range(WAITING + 7):
            viewer.on_tick(seen)
        rerun.moves.set()
    assert viewer.dropped == 7
    assert len(rerun.times) == 1 + WAITING
    assert "7 ticks are missing: the viewer's thread did not keep up" in caplog.text


def test_a_viewer_that_fails_ends_no_run(
    tmp_path: Path, rerun: FakeRerun, caplog: pytest.LogCaptureFixture
) -> None:
    with RerunViewer(tmp_path / "run.rrd", SPEC) as viewer:
        rerun.full = True
        seen = tick(0)
        for _ in range(5):
            viewer.on_tick(seen)
    assert rerun.ended
    assert "5 ticks are missing: no space" in caplog.text


@pytest.mark.skipif(WITHOUT_RERUN, reason="rerun is not installed")
def test_the_real_rerun_takes_them(tmp_path: Path) -> None:
    path = tmp_path / "run.rrd"
    with RerunViewer(path, SPEC) as viewer:
        for number in range(35):
            viewer.on_tick(tick(number))
    assert viewer.dropped == 0
    assert path.stat().st_size > 35 * 3 * 8 * 8  # raw images of eight pixels, incompressible


@pytest.mark.skipif(not WITHOUT_RERUN, reason="rerun is installed")
def test_without_rerun_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(TaktError, match="rerun"):
        RerunViewer(tmp_path / "run.rrd", SPEC)
