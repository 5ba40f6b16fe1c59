"""Rows at time offsets around a frame, as training asks for them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from takt.types import Seconds, TaktError


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """`values[i]` is the row at offset i; where `is_pad[i]`, the episode's nearest row."""

    values: np.ndarray
    is_pad: np.ndarray


def window(rows: np.ndarray, tick: int, offsets_s: Sequence[Seconds], rate_hz: float) -> Window:
    """Rows of one episode at `offsets_s` from `tick`, clamped to the episode.

    Args:
        rows: (tick, n) rows of one episode.
        tick: Row within the episode.
        offsets_s: Multiples of 1 / rate_hz, any sign.
        rate_hz: Rows per second.
    """
    exact = np.asarray(offsets_s, np.float64) * rate_hz
    steps = np.rint(exact).astype(np.int64)
    if np.abs(exact - steps).max(initial=0.0) > 0.01:
        raise TaktError(
            f"window offsets: expected multiples of {1 / rate_hz:g} s, got {list(offsets_s)}"
        )
    wanted = tick + steps
    held = np.clip(wanted, 0, len(rows) - 1)
    return Window(values=rows[held], is_pad=wanted != held)
