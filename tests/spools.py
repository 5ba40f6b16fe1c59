"""Spools of black rows, and a disk that does not move."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import SPEC

from takt.runtime.row import Row, RowLayout
from takt.runtime.spool import Spool

LAYOUT = RowLayout.of(SPEC, 0)


def row(number: int = 0) -> Row:
    black = {c.name: np.zeros((c.height, c.width, 3), np.uint8) for c in SPEC.cameras}
    zeros = np.zeros(len(SPEC.slots), np.float32)
    return Row(
        stamp=number * SPEC.dt,
        wall_s=0.0,
        image_stamps=dict.fromkeys(black, 0.0),
        images=black,
        state=zeros,
        executed=zeros,
        planned=zeros,
        authority="policy",
        instruction="Hold.",
        touch=None,
    )


def spooled(path: Path, ticks: int, *, success: bool | None = True, body: str = SPEC.name) -> Path:
    """A spool of so many black rows."""
    path.parent.mkdir(exist_ok=True)
    spool = Spool(path, replace(LAYOUT, body=body), 1 << 30)
    for number in range(ticks):
        spool.put(row(number))
    spool.end(success)
    return path


class StuckDisk:
    """Rows wait until it moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.moves = threading.Event()
        parts = RowLayout.parts

        def when_it_moves(layout: RowLayout, row: Row) -> Iterator[np.ndarray]:
            self.moves.wait()
            return parts(layout, row)

        monkeypatch.setattr(RowLayout, "parts", when_it_moves)
