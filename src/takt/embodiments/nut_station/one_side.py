"""The station's left half as a body of its own: half the work, for comparisons on a budget."""

from dataclasses import replace

from takt.embodiments.nut_station.cycle import Side
from takt.embodiments.nut_station.spec import SPEC
from takt.types import ActionSpace

SIDE: Side = "left"
AXES = len(SPEC.slots) // 2  # the first ones of the whole station's
CAMERAS = 2  # the same: both arms are seen from the ego camera, and the left wrist's own

LEFT_SPEC = replace(
    SPEC,
    name="nut-station-left",
    cameras=SPEC.cameras[:CAMERAS],
    action_space=ActionSpace(
        names=SPEC.action_space.names[:AXES],
        units=SPEC.action_space.units[:AXES],
        low=SPEC.action_space.low[:AXES],
        high=SPEC.action_space.high[:AXES],
    ),
    slots=SPEC.slots[:AXES],
    relative=SPEC.relative[:AXES],
    instruction="Install a nut on the left pin.",
    mirror=None,
)
