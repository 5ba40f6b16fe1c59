"""A shift in numbers: what `--json` prints and the report shows."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from takt.benchmarks.cycle import CycleRecord
from takt.benchmarks.kpi import LineKpi, line_kpi
from takt.benchmarks.motion import Motion
from takt.benchmarks.wilson import Proportion, wilson
from takt.embodiments.nut_station.cycle import OUTCOMES, SIDES


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftSummary:
    """Pooled over all cycles. Times in the unit of their name; keys of the maps are percentiles."""

    cycles: int
    both: Proportion
    left: Proportion
    right: Proportion
    cycle_s: Mapping[str, float]
    motion: Motion
    inference_ms: Mapping[str, float | None]
    latency_ms: float | None
    delay_ticks: int
    outcomes: Mapping[str, Mapping[str, int]]
    kpi: LineKpi

    def to_json(self) -> dict[str, Any]:
        """The stable names of `takt shift --json`."""
        return {
            "cycles": self.cycles,
            "both": asdict(self.both),
            "left": asdict(self.left),
            "right": asdict(self.right),
            "cycle_s": dict(self.cycle_s),
            "idle_share": self.motion.idle_share,
            "stalls": self.motion.stalls,
            "seam_ratio": self.motion.seam_ratio,
            "jerk_rms": self.motion.jerk_rms,
            "inference_ms": dict(self.inference_ms),
            "latency_ms": self.latency_ms,
            "delay_ticks": self.delay_ticks,
            "outcomes": {side: dict(counts) for side, counts in self.outcomes.items()},
            **asdict(self.kpi),
        }


def summarise(
    records: Sequence[CycleRecord], latency_ms: float | None, delay_ticks: int
) -> ShiftSummary:
    """Pool at least one cycle.

    `latency_ms` is what was injected, None on the wall clock; there `delay_ticks` was planned for.
    """
    ended = {side: [record.outcomes[side] for record in records] for side in SIDES}
    installed = {side: wilson(ended[side].count("installed"), len(records)) for side in SIDES}
    cycle_s = np.array([record.cycle_s for record in records])
    compute_ms = np.concatenate([record.compute_ms for record in records])
    return ShiftSummary(
        cycles=len(records),
        both=wilson(sum(record.good for record in records), len(records)),
        left=installed["left"],
        right=installed["right"],
        cycle_s={
            "p50": float(np.percentile(cycle_s, 50)),
            "p95": float(np.percentile(cycle_s, 95)),
            "max": float(cycle_s.max()),
        },
        motion=reduce(add, (record.motion for record in records)),
        inference_ms={
            name: float(np.percentile(compute_ms, q)) if len(compute_ms) else None
            for name, q in (("p50", 50), ("p95", 95))
        },
        latency_ms=latency_ms,
        delay_ticks=delay_ticks,
        outcomes={
            side: {name: ended[side].count(name) for name in OUTCOMES if name in ended[side]}
            for side in SIDES
        },
        kpi=line_kpi(records),
    )
