"""Line indicators after ISO 22400-2, defined for this line.

A part arrives every 76 s and is worked on once; there is no rework station and no break.

- PRI, planned run time per item: the takt, 76 s.
- PQ, produced quantity: the cycles of the shift. GQ, good quantity: those with both nuts installed.
- PBT, planned busy time: the beats the line spent on these parts, the sum of max(cycle, takt); an
  early station waits for the beat, a late one makes the line wait.
- APT, actual production time: PBT less down time. A cycle that had to be cut is a stoppage: the
  line stands from the missed beat to the cut.
- availability = APT / PBT; performance = PRI * PQ / APT; quality = GQ / PQ; OEE is their product,
  here takt * GQ / PBT. None exceeds 1.
- first-pass yield = GQ / PQ: nothing is reworked, so it equals quality.
- scrap ratio: share of parts with a side that ended in `spline_jam`, `force_limit` or `not_seated`:
  pin or thread were loaded wrongly. Other failures leave a part that can be worked on again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from takt.benchmarks.cycle import CycleRecord
from takt.embodiments.nut_station.cycle import TAKT_S, Outcome

SCRAPPING: frozenset[Outcome] = frozenset({"spline_jam", "force_limit", "not_seated"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LineKpi:
    """Ratios in [0, 1]; `interventions` counts actions that the safety governor had to change."""

    availability: float
    performance: float
    quality: float
    oee: float
    first_pass_yield: float
    scrap: float
    interventions: int


def line_kpi(records: Sequence[CycleRecord]) -> LineKpi:
    """The indicators of a shift with at least one cycle."""
    produced = len(records)
    good = sum(record.good for record in records)
    busy_s = sum(max(record.cycle_s, TAKT_S) for record in records)
    down_s = sum(record.cycle_s - TAKT_S for record in records if record.cut)
    production_s = busy_s - down_s
    availability = production_s / busy_s
    performance = TAKT_S * produced / production_s
    quality = good / produced
    scrapped = sum(not SCRAPPING.isdisjoint(record.outcomes.values()) for record in records)
    return LineKpi(
        availability=availability,
        performance=performance,
        quality=quality,
        oee=availability * performance * quality,
        first_pass_yield=quality,
        scrap=scrapped / produced,
        interventions=sum(sum(record.interventions.values()) for record in records),
    )
