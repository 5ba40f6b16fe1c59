import json
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from takt.benchmarks.delay import Cell, CellKey, run_cell
from takt.benchmarks.delay_fleet import run_fleet
from takt.benchmarks.delay_measures import has_loop, reactions
from takt.benchmarks.delay_report import build_report
from takt.benchmarks.delay_strategies import STRATEGIES, chunking
from takt.benchmarks.delay_summary import best, summarise, to_json
from takt.benchmarks.motion import Motion
from takt.embodiments.track.spec import SPEC
from takt.policies.track.config import HORIZON
from takt.runtime.chunking import Prefixed
from takt.runtime.inference import PolicyError
from takt.runtime.trace import Trace
from takt.types import ActionChunk, Observation, TaktError


def follow(jobs):
    """Plans that stay where the target was seen."""
    return [
        ActionChunk(
            stamp=seen.stamp, dt=SPEC.dt, actions=np.repeat(seen.state[None, 4:6], HORIZON, axis=0)
        )
        for _, seen, _ in jobs
    ]


def seen(number: int) -> Observation:
    state = np.full(8, number, np.float32)
    return Observation(stamp=0.0, images={}, image_stamps={}, state=state, instruction="")


def test_inferences_of_a_fleet_are_made_together():
    sizes = []

    def plan(jobs):
        sizes.append([number for number, _, _ in jobs])
        return follow(jobs)

    def episode(number, seat):
        found = []
        for _ in range(3 if number else 1):  # the first one ends early
            seat.submit(seen(number), None)
            assert seat.first() is seat.result().chunk
            found.append(seat.result().chunk.actions[0, 0])
        return found

    assert run_fleet(3, plan, episode) == [[0.0], [1.0] * 3, [2.0] * 3]
    assert sizes == [[0, 1, 2], [1, 2], [1, 2]]


def test_a_planner_that_fails_ends_every_episode():
    def plan(jobs):
        raise PolicyError("no")

    def episode(number, seat):
        seat.submit(seen(number), None)
        return seat.result()

    with pytest.raises(PolicyError):
        run_fleet(3, plan, episode)


@pytest.mark.parametrize(("strategy", "delay"), [("synchronous", 3), ("naive", 3)])
def test_stalls_and_reactions_are_those_of_the_schedule(strategy, delay):
    key = CellKey(strategy=strategy, seed=0, delay=delay, jitter=False)
    cell = run_cell(key, follow, range(100_000, 100_002))
    assert (cell.motion.stalls > 0) == (strategy == "synchronous")
    assert cell.episodes == 2
    held = delay if strategy == "synchronous" else 0
    assert delay <= min(cell.reactions)
    assert max(cell.reactions) <= delay + chunking(strategy, delay, jitter=False).execute + held
    assert Cell.of_json(json.loads(json.dumps(cell.to_json()))) == cell


def test_jitter_and_spikes_leave_no_tick_without_an_action():
    key = CellKey(strategy="naive", seed=0, delay=6, jitter=True)
    cell = run_cell(key, follow, range(100_000, 100_003))
    assert cell.motion.late > 0
    assert cell.motion.stalls == 0


def test_a_loop_is_a_motion_repeated_off_the_target():
    ticks = np.arange(120)
    circle = 0.1 * np.stack([np.cos(ticks * 0.4), np.sin(ticks * 0.4)], axis=1)
    away, line = np.full((120, 2), 0.8), np.stack([0.01 * ticks, 0 * ticks], axis=1)
    assert has_loop(circle, away)
    assert not has_loop(circle, circle)
    assert not has_loop(line, away)


def test_every_strategy_fits_the_chunk_at_every_delay():
    for strategy in STRATEGIES:
        for delay in range(9):
            assert chunking(strategy, delay, jitter=True).execute >= delay
    with pytest.raises(TaktError, match="delays of 0..8"):
        chunking("naive", 9, jitter=False)


def _cell(successes: int, seam: float, stalls: int = 0) -> Cell:
    motion = Motion(ticks=100, stalls=stalls, seam_sum=seam, seam_count=1, inner_sum=1.0,
                    inner_count=1, jerk_square_sum=seam, jerk_count=1)  # fmt: skip
    return Cell(episodes=10, successes=successes, collisions=0, loops=0, on_target=9.0,
                motion=motion, reactions=(3, 5))  # fmt: skip


def test_rows_pool_seeds_and_compare_with_naive_and_with_no_delay():
    base = CellKey(strategy="naive", seed=0, delay=0, jitter=False)
    cells = {base: _cell(10, 1.0), replace(base, delay=4): _cell(4, 4.0)}
    for seed in (0, 1):
        key = replace(base, strategy="lambda", seed=seed)
        cells[key] = _cell(9 + seed, 1.0)
        cells[replace(key, delay=4)] = _cell(7 + seed, 2.0)
    cells[replace(base, strategy="synchronous", delay=4)] = _cell(10, 1.0, stalls=3)
    rows = summarise(cells)
    found = to_json(rows)
    row = found["strategies"]["lambda"]
    assert row["success"]["n"] == 20
    assert row["by_seed"] == (0.7, 0.8)  # what the interval of the pooled 15 of 20 does not say
    assert row["success_vs_d0"] == pytest.approx(15 / 19)
    assert row["success_vs_naive"] == pytest.approx(0.75 / 0.4)
    assert row["seam_vs_naive"] == 0.5
    assert row["jerk_vs_naive"] == pytest.approx(0.5**0.5)
    assert found["best"]["strategy"] == "lambda"  # synchronous stalls
    chosen = best(rows)
    assert chosen is not None
    page = build_report(rows, "a note")
    assert "Λ-prefix" in page
    assert "<td>70 80</td>" in page


def test_what_a_task_does_not_measure_is_not_reported_as_none_found():
    unknown = replace(_cell(7, 1.0), loops=None, collisions=None, on_target=None, reactions=())
    key = CellKey(strategy="naive", seed=0, delay=0, jitter=False)
    assert Cell.of_json(json.loads(json.dumps((unknown + unknown).to_json()))).loops is None
    rows = summarise({key: unknown})
    assert (rows[0].loops, rows[0].collisions, rows[0].on_target) == (None, None, None)
    page = build_report(rows, "a note")
    assert "Success" in page
    assert "Mean share of the time" not in page


def test_reactions_ignore_perturbations_at_the_end():
    trace = SimpleNamespace(
        actions=np.zeros((100, 2)),
        held=np.zeros(100, bool),
        chunk=np.arange(100) // 5,
        age_s=np.arange(100) % 5 / 30,
    )
    assert reactions(cast(Trace, trace), np.array([12, 95])) == [3]
    assert reactions(cast(Trace, trace), np.array([12, 95]), corrected=True) == [0]


@pytest.mark.parametrize("strategy", ["rtc", "training_time_rtc", "lambda"])
def test_what_was_promised_before_a_perturbation_is_no_reaction_to_it(strategy):
    key = CellKey(strategy=strategy, seed=0, delay=4, jitter=True)
    cell = run_cell(key, follow, range(100_000, 100_003))
    prefix = chunking(strategy, 4, jitter=True)
    assert isinstance(prefix, Prefixed)
    assert min(cell.reactions) >= prefix.prefix > 4
