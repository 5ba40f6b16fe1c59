"""The station's delay cells are shifts on the same seeds, pooled like every other cell."""

from pathlib import Path

import pytest

from takt.benchmarks.checkpoint import packaged_checkpoint
from takt.recipes.delay_station import StationDelays, evaluate
from takt.types import TaktError


def test_without_a_checkpoint_of_its_own_rtc_is_left_out() -> None:
    grid = StationDelays(cells=Path("none"), delays=[0, 4]).grid()
    assert [(key.strategy, key.delay) for key in grid] == [
        (name, delay) for delay in (0, 4) for name in ("synchronous", "naive", "lambda")
    ]


def test_another_contracts_checkpoint_is_not_called_rtc(tmp_path: Path) -> None:
    nano = str(packaged_checkpoint("nano_station"))
    with pytest.raises(TaktError, match="training_time_rtc"):
        evaluate(StationDelays(cells=tmp_path, delays=[0], rtc_policy=nano), print)
    with pytest.raises(TaktError, match="to compare strategies with"):
        evaluate(StationDelays(cells=tmp_path, delays=[0], policy="expert"), print)
    with pytest.raises(TaktError, match="too slow or plans too short"):
        evaluate(StationDelays(cells=tmp_path, delays=[0, 7]), print)
    assert not list(tmp_path.iterdir()), "refused before anything ran"


@pytest.mark.slow
def test_a_cell_is_a_shift_that_is_not_run_twice(tmp_path: Path) -> None:
    said: list[str] = []
    benchmark = StationDelays(cells=tmp_path, delays=[3], cycles=1)
    first = evaluate(benchmark, said.append)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.msgpack")}
    assert len(files) == 3
    assert evaluate(benchmark, said.append) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.msgpack")} == files
    assert [cell.episodes for cell in first.values()] == [1, 1, 1]
    assert {(cell.loops, cell.collisions) for cell in first.values()} == {(None, None)}
    assert said[:3] == said[3:]
