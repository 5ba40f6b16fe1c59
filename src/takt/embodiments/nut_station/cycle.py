"""How a cycle of the station may end, and when it is cut."""

from typing import Literal, get_args

from takt.types import Seconds

Side = Literal["left", "right"]
SIDES: tuple[Side, ...] = get_args(Side)
Outcome = Literal[
    "installed", "missed_pick", "dropped", "spline_jam", "not_seated", "force_limit", "timeout"
]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
TAKT_S: Seconds = 76.0
STATION_SHARE_S: Seconds = 40.0  # part exchange 22 s and tightening 2 x 9 s: counted, not stepped
CYCLE_CUT_S: Seconds = 2 * TAKT_S  # a longer cycle is cut there and counts as that
