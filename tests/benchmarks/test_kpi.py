"""Line indicators against figures worked out by hand."""

import numpy as np
import pytest

from takt.benchmarks.cycle import CycleRecord, Outcome
from takt.benchmarks.kpi import line_kpi
from takt.benchmarks.motion import Motion
from takt.benchmarks.summary import summarise

KEYS = {
    *("cycles", "both", "left", "right", "cycle_s", "idle_share", "stalls", "seam_ratio"),
    *("jerk_rms", "inference_ms", "latency_ms", "outcomes", "availability", "performance"),
    *("quality", "oee", "first_pass_yield", "scrap", "interventions", "delay_ticks"),
}


def record(cycle: int, cycle_s: float, left: Outcome, right: Outcome) -> CycleRecord:
    return CycleRecord(
        cycle=cycle,
        seed=cycle,
        outcomes={"left": left, "right": right},
        cycle_s=cycle_s,
        motion=Motion(ticks=100, stalls=1, waiting=2),
        compute_ms=np.array([10.0, 20.0], np.float32),
        interventions={"step": 1},
        actions=np.zeros((100, 14), np.float32),
        chunk=np.zeros(100, np.int32),
    )


RECORDS = [
    record(0, 60.0, "installed", "installed"),
    record(1, 95.0, "installed", "installed"),
    record(2, 70.0, "installed", "spline_jam"),
    record(3, 152.0, "missed_pick", "timeout"),
]


def test_kpi_by_hand() -> None:
    # beats: 76 + 95 + 76 + 152 = 399 s busy; the cut cycle stands for 76 s, so 323 s produce
    kpi = line_kpi(RECORDS)
    assert kpi.availability == pytest.approx(323 / 399)
    assert kpi.performance == pytest.approx(4 * 76 / 323)
    assert kpi.quality == kpi.first_pass_yield == 0.5
    assert kpi.oee == pytest.approx(2 * 76 / 399)
    assert kpi.scrap == 0.25
    assert kpi.interventions == 4


def test_a_perfect_shift_reaches_one() -> None:
    assert line_kpi(RECORDS[:1]).oee == 1.0


def test_summary_has_the_promised_names_and_counts() -> None:
    found = summarise(RECORDS, 80.0, 3).to_json()
    assert set(found) == KEYS
    assert set(found["both"]) == {"n", "k", "rate", "lo", "hi"}
    assert (found["both"]["k"], found["left"]["k"], found["right"]["k"]) == (2, 3, 2)
    assert found["outcomes"]["right"] == {"installed": 2, "spline_jam": 1, "timeout": 1}
    assert found["cycle_s"]["max"] == 152.0
    assert found["inference_ms"]["p50"] == 15.0
    assert found["idle_share"] == pytest.approx(0.02)
    assert found["stalls"] == 4
