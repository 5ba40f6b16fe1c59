"""The jitter bench runs both loops beside its hogs, and leaves none behind."""

import json

import jitter
import jitter_witness
import pytest


def test_both_loops_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    config = jitter.Config(
        ticks=20, rounds=1, hogs=1, drift_ticks=50, rate_hz=200, quick=False, json=True
    )
    assert jitter.main(config) in (0, 1)
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["lateness_p99_ratio"] > 0
    assert found["rt_priority"] in ("fifo", "nice", "none")
    assert {"missed", "machine_paused", "drift_ticks"} <= set(found)
    assert found["plain"]["p99_ms"] >= found["plain"]["p50_ms"] > 0


def test_a_plain_loop_drifts_and_takts_does_not() -> None:
    takt, _ = jitter.takt_loop(500, 100)
    assert takt.drift_ticks * 2e-3 == pytest.approx(takt.lateness_s[-1], abs=2e-3)
    plain = jitter.plain_loop(500, 100)
    assert plain.drift_ticks * 2e-3 == pytest.approx(plain.lateness_s.sum(), abs=1e-6)


def test_a_pause_counts_where_it_overlaps() -> None:
    with jitter_witness.watched() as pauses:
        pass
    pauses.intervals = [(1.0, 1.5)]
    assert pauses.hit((1.4, 2.0))
    assert not pauses.hit((1.5, 2.0))
