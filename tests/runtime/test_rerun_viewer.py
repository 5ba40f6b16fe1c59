"""Ticks reach a rerun file, and a slow viewer delays nobody."""

from pathlib import Path

import numpy as np
import pytest
from fakes import SPEC, WIDTH, FakeStation

from takt.extras import missing_modules
from takt.runtime.rerun_viewer import WAITING, RerunViewer
from takt.runtime.tick import Tick
from takt.types import TaktError


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


@pytest.mark.skipif(bool(missing_modules("rerun")), reason="rerun is not installed")
def test_ticks_are_written(tmp_path: Path) -> None:
    path = tmp_path / "run.rrd"
    with RerunViewer(path, SPEC) as viewer:
        for number in (*range(30), *range(5)):
            viewer.on_tick(tick(number))
    assert viewer.dropped == 0
    assert path.stat().st_size > 35 * 3 * 8 * 8  # raw images of eight pixels, incompressible


@pytest.mark.skipif(bool(missing_modules("rerun")), reason="rerun is not installed")
def test_a_slow_viewer_loses_ticks_and_delays_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RerunViewer, "_write", lambda self: self._stopped.wait())
    import threading

    monkeypatch.setattr(RerunViewer, "_stopped", threading.Event(), raising=False)
    viewer = RerunViewer(tmp_path / "run.rrd", SPEC)
    for number in range(WAITING + 7):
        viewer.on_tick(tick(number))
    assert viewer.dropped == 7
    RerunViewer._stopped.set()  # pyright: ignore[reportAttributeAccessIssue] # noqa: SLF001


@pytest.mark.skipif(not missing_modules("rerun"), reason="rerun is installed")
def test_without_rerun_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(TaktError, match="rerun"):
        RerunViewer(tmp_path / "run.rrd", SPEC)
