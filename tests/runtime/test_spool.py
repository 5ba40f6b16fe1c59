"""A spool keeps every row that was taken, and takes none that no dataset would."""

import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import SPEC
from spools import LAYOUT, StuckDisk, row, spooled

from takt.runtime.row import RowError, RowLayout
from takt.runtime.spool import Spool, SpoolError, read_spool


def test_a_slow_disk_loses_nothing_and_a_stuck_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = StuckDisk(monkeypatch)
    spool = Spool(tmp_path / "slow", LAYOUT, 40 * LAYOUT.dtype.itemsize)
    for number in range(40):
        spool.put(row(number))  # returns, although nothing can be written yet
    with pytest.raises(SpoolError, match="keeps up"):
        spool.put(row(40))
    disk.moves.set()
    spool.end(None)
    found = read_spool(tmp_path / "slow")
    assert found is not None
    assert (len(found.rows), found.success, found.cut) == (40, None, False)


def test_a_row_that_cannot_be_written_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RowLayout, "parts", lambda *_: iter([object()]))
    spool = Spool(tmp_path / "odd", LAYOUT, 1 << 20)
    spool.put(row())
    with pytest.raises(SpoolError, match="object"):
        spool.end(True)


def test_a_full_disk_is_named_and_keeps_the_rows_before(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5 * LAYOUT.dtype.itemsize, before[1]))
    try:
        spool = Spool(tmp_path / "full", LAYOUT, 1 << 30)
        for number in range(5):
            spool.put(row(number))
        with pytest.raises(SpoolError, match="too large.*make room"):
            spool.end(True)
        with pytest.raises(SpoolError, match="make room"):
            spool.put(row(5))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    found = read_spool(tmp_path / "full")
    assert found is not None
    assert (len(found.rows), found.cut) == (4, True)


ODD = {
    "images": {"images": {"top": np.zeros((2, 2, 3), np.uint8)}},
    "a capture time": {"image_stamps": dict.fromkeys(row().image_stamps, np.inf)},
    "state": {"state": np.full(len(SPEC.slots), np.nan, np.float32)},
    "planned": {"planned": np.zeros(3, np.float32)},
    "touch": {"touch": np.zeros(2, np.float32)},
    "instruction": {"instruction": "Hold. " * 200},
}


@pytest.mark.parametrize("what", ODD)
def test_what_no_dataset_would_take_is_refused_on_its_tick(tmp_path: Path, what: str) -> None:
    spool = Spool(tmp_path / "odd", LAYOUT, 1 << 20)
    spool.put(row())
    with pytest.raises(RowError, match=what):
        spool.put(replace(row(1), **ODD[what]))
    with pytest.raises(SpoolError, match="every 0.0333 s, tick 1"):
        spool.put(row(3))
    spool.end(None)


def test_what_a_kill_cut_off_is_left_out(tmp_path: Path) -> None:
    path = spooled(tmp_path / "cut", 3)
    whole = path.read_bytes()
    row_bytes = LAYOUT.dtype.itemsize
    start = len(whole) - 9 - 3 * row_bytes
    for size, ticks in ((len(whole) - 1, 3), (len(whole) - 10, 2), (start + row_bytes, 1)):
        path.write_bytes(whole[:size])
        found = read_spool(path)
        assert found is not None
        assert (len(found.rows), found.success, found.cut) == (ticks, None, True)
    for size in (0, 5, 15, 40, start, start + row_bytes - 1):
        path.write_bytes(whole[:size])
        assert read_spool(path) is None
    path.write_bytes(b"something else")
    with pytest.raises(SpoolError, match="another file"):
        read_spool(path)
