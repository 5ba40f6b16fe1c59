"""The page stands alone, says what the figures say, and shows names as text."""

import re
from dataclasses import replace

import pytest

from takt.benchmarks.suites.compare import compare
from takt.benchmarks.suites.report import ReportHeader, build_report
from takt.benchmarks.suites.suite import Played, Trial
from takt.benchmarks.suites.summary import SuiteSummary, summarise

HEADER = ReportHeader(
    player="<b>expert",
    strategy="synchronous",
    latency_ms=80,
    notes=("stand-in visuals",),
    command="takt eval libero --out 'here'",
)
GROUPS = {"easy": ["reach", "open"], "hard": ["<push>"]}


def play(task: str, index: int, stages: int, error: str | None = None) -> Played:
    trial = Trial(task=task, index=index, seed=1000 + index, configuration=str(index))
    return Played(trial=trial, stages=stages, steps=5, stalls=2, cpu_s=6.0, error=error)


PLAYED = [
    *[play("reach", index, 1) for index in range(4)],
    *[play("open", index, index % 2) for index in range(4)],
    *[play("<push>", index, 0) for index in range(3)],
    play("<push>", 3, 0, error="Traceback\n  <frame>\nEGLError: no display"),
]


@pytest.fixture(scope="module")
def summary() -> SuiteSummary:
    return summarise("LIBERO <v3>", GROUPS, 1, PLAYED, {"mujoco": "3.3.2"})


def test_page_is_self_contained_and_complete(summary):
    other = summarise(summary.label, GROUPS, 1, [replace(one, stages=0) for one in PLAYED])
    clip = {"reach-0001": "data:video/mp4;base64,AA"}
    found = build_report(HEADER, summary, clip, compare(summary, other, ("new", "old")))
    assert not re.search(r'(?:src|href)="(?!data:)', found), "nothing is fetched"
    for figure in (
        "stand-in visuals",
        "80 ms injected",
        "mean of easy, hard",
        "37.5<small> %",  # the mean of 6/8 and 0/4
        "6 of 12</b> trials",
        "50.0&nbsp;%",  # of all trials
        "new against old: +50.0 percentage points",
        "mujoco: 3.3.2, none",
        'src="data:video/mp4;base64,AA"',
        "<b>reach</b>: seed 1001, success",
        "open: 2</summary><p>trial 0 (seed 1000); trial 2 (seed 1002)</p>",
        "&lt;push&gt;-0003, seed 1003, tried 1×: EGLError: no display",
        "takt eval libero --out &#x27;here&#x27;",
        "<code>3.3.2</code>",
        "<b>10.0</b><span>episodes per CPU minute",
        "<b>24</b><span>steps without an action due",
    ):
        assert figure in found, figure
    assert not re.search("<push>|<frame>|<v3>|<b>expert", found), "names are escaped"


def test_chains_are_told_by_their_length():
    played = [play("chain", index, stages) for index, stages in enumerate((5, 5, 3, 0))]
    found = build_report(HEADER, summarise("CALVIN", {}, 5, played))
    assert "3.250<small> of 5" in found
    for links, k in enumerate((3, 3, 3, 2, 2), 1):
        assert re.search(rf"{links} in a row</td>.*?{k}&nbsp;of&nbsp;4", found)
    assert "trial 2 (seed 1002, 3 of 5 in a row)" in found
    assert "Tasks</h2>" not in found, "one task has no table"


def test_a_clean_run_lists_no_failures():
    found = build_report(HEADER, summarise("L", {}, 1, [play("reach", 0, 1)]))
    assert "Failures</h2>" not in found
    assert "Could not be played</h2>" not in found
