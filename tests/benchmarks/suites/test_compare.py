"""Pairs of trials, and runs that cannot be paired."""

import json
from dataclasses import replace

import pytest

from takt.benchmarks.suites.compare import Comparison, DifferentTrialsError, compare
from takt.benchmarks.suites.suite import Played, Trial
from takt.benchmarks.suites.summary import SuiteSummary, summarise


def run(stages: str, repeats: int = 1, longest: int = 1, **versions: str) -> SuiteSummary:
    """One digit a trial; the first half is of task a, the rest of task b."""
    played = []
    for index, digit in enumerate(stages):
        task, number = divmod(index, max(len(stages) // 2, 1))
        trial = Trial(
            task="ab"[task], index=number, seed=number, configuration=str(number // repeats)
        )
        played.append(Played(trial=trial, stages=int(digit), steps=1, stalls=0, cpu_s=0.0))
    return summarise("L", {}, longest, played, versions)


def figures(found: Comparison) -> tuple[int, int, int]:
    return found.n, found.won, found.lost


def test_pairs_are_won_lost_and_tested():
    found = compare(run("1111110110"), run("0000010110"), ("new", "old"))
    assert figures(found) == (10, 5, 0)
    assert found.p == pytest.approx(0.0625)
    assert found.difference.rate == pytest.approx(0.5)
    assert 0 < found.difference.lo < 0.5 < found.difference.hi < 1
    assert (found.tasks["a"].ours, found.tasks["a"].theirs) == (1.0, 0.0)
    assert (found.tasks["a"].won, found.tasks["b"].won, found.tasks["b"].lost) == (5, 0, 0)
    assert "new against old: +50.0 percentage points" in found.verdict
    assert "| a | 100.0 | 0.0 | 5 | 0 |" in found.to_markdown()
    back = compare(run("0000010110"), run("1111110110"))
    assert (back.won, back.lost, back.p) == (0, 5, found.p)


def test_further_along_a_chain_is_better():
    found = compare(run("5321", longest=5), run("3421", longest=5))
    assert figures(found) == (4, 1, 1)
    assert found.difference.rate == pytest.approx(0.25)
    assert "+0.25 tasks in a row" in found.verdict


def test_repeats_that_agree_are_one_pair():
    found = compare(run("111000111111", 3), run("000000111111", 3))
    assert figures(found) == (4, 1, 0)
    assert found.p == 1
    # theirs does not repeat itself: then every trial tells something
    assert figures(compare(run("111000111111", 3), run("010000111111", 3))) == (12, 2, 0)


def test_what_could_not_be_played_counts_as_lost():
    ours = run("11")
    broken = [replace(ours.played[0], error="died"), ours.played[1]]
    found = compare(summarise("L", {}, 1, broken), ours)
    assert figures(found) == (2, 0, 1)


def test_other_versions_are_said():
    found = compare(run("11", mujoco="3.3.0", numpy="2"), run("11", mujoco="3.3.2", numpy="2"))
    assert found.versions == ("mujoco: 3.3.0, 3.3.2",)
    assert "3.3.2" in found.to_markdown()


def test_json_names_are_stable():
    found = json.loads(json.dumps(compare(run("11"), run("10")).to_json()))
    assert found["label"] == "L"
    assert found["ours"]["success"]["k"] == 2
    assert found["theirs"]["average"]["rate"] == 0.5
    assert (found["n"], found["won"], found["lost"], found["p"]) == (2, 1, 0, 1.0)
    assert found["tasks"]["b"] == {"ours": 1.0, "theirs": 0.0, "won": 1, "lost": 0}
    assert set(found["difference"]) == {"n", "rate", "lo", "hi"}


def reseeded(summary: SuiteSummary) -> SuiteSummary:
    first, *rest = summary.played
    other = replace(first, trial=replace(first.trial, seed=99))
    return summarise("L", {}, 1, [other, *rest])


@pytest.mark.parametrize(
    ("theirs", "says"),
    [
        (replace(run("11"), label="M"), "'L' of A and 'M' of B"),
        (run("1111"), "0 only of A and 2 only of B"),
        (reseeded(run("11")), "1 only of B .such as a-0000, seed 99"),
    ],
)
def test_runs_that_differ_are_refused(theirs, says):
    with pytest.raises(DifferentTrialsError, match=says):
        compare(run("11"), theirs, ("A", "B"))
