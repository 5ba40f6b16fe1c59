"""Released counts come out as published; repeats, crashes and parts of a suite are told apart."""

import json
from pathlib import Path

import pytest

from takt.benchmarks.suites.suite import Played, SuiteError, Trial
from takt.benchmarks.suites.summary import SuiteSummary, summarise

RELEASED = json.loads(
    (Path(__file__).parents[2] / "data" / "suites" / "released_counts.json").read_text()
)


def trials(task: str, stages: list[int], configurations: list[str] | None = None) -> list[Played]:
    names = configurations or [str(index) for index in range(len(stages))]
    return [
        Played(
            trial=Trial(task=task, index=index, seed=7 + index, configuration=name),
            stages=reached,
            steps=10,
            stalls=0,
            cpu_s=0.5,
        )
        for index, (reached, name) in enumerate(zip(stages, names, strict=True))
    ]


def counts(task: str, successes: int, n: int) -> list[Played]:
    return trials(task, [1] * successes + [0] * (n - successes))


def crashed(played: Played) -> Played:
    return Played(
        trial=played.trial, stages=0, steps=0, stalls=0, cpu_s=0.0, attempts=2, error="it\ndied"
    )


def percent(rate) -> tuple[float, float, float]:
    return round(100 * rate.rate, 1), round(100 * rate.lo, 1), round(100 * rate.hi, 1)


def test_libero_as_published():
    found = RELEASED["libero"]
    named = {
        suite: {f"{suite}-{task}": k for task, k in enumerate(successes)}
        for suite, successes in found["successes"].items()
    }
    played = [
        one
        for suite in named.values()
        for task, k in suite.items()
        for one in counts(task, k, found["trials"])
    ]
    summary = summarise("LIBERO", {suite: list(t) for suite, t in named.items()}, 1, played)
    assert percent(summary.average) == (98.7, 98.1, 99.1)
    assert (summary.success.k, summary.success.n) == (1974, 2000)
    assert [percent(rate)[0] for rate in summary.groups.values()] == [98.8, 100.0, 98.8, 97.2]
    assert summary.parts == ("spatial", "object", "goal", "10")


@pytest.mark.parametrize(("split", "length"), [("ABCD->D", 4.804), ("ABC->D", 4.750)])
def test_calvin_as_published(split, length):
    at_least = RELEASED["calvin"]["at_least_in_a_row"][split]
    ended_at = [RELEASED["calvin"]["chains"], *at_least]
    exactly = [a - b for a, b in zip(ended_at, [*at_least, 0], strict=True)]
    stages = [count for count, chains in enumerate(exactly) for _ in range(chains)]
    summary = summarise(f"CALVIN {split}", {}, 5, trials("chain", stages))
    assert summary.chain is not None
    assert [rate.k for rate in summary.chain.in_a_row] == at_least
    found = summary.chain.mean_length
    assert found.rate == pytest.approx(length, abs=1e-9)
    assert length - 0.07 < found.lo < length < found.hi < length + 0.05
    assert summary.success.k == at_least[-1]


def test_widowx_repeats_count_once():
    found = RELEASED["widowx"]
    size, repeats = found["configurations"], found["repeats"]
    names = [str(index // repeats) for index in range(size * repeats)]
    played = [
        one
        for task, k in found["successes"].items()
        for one in trials(task, [1] * k + [0] * (size * repeats - k), names)
    ]
    summary = summarise("WidowX", {}, 1, played)
    assert summary.repeats == "agree"
    assert (summary.success.n, summary.success.k, summary.success.distinct) == (576, 456, 96)
    assert percent(summary.average) == (79.2, 70.0, 86.1)
    assert summary.tasks["carrot"].distinct == 24
    assert "96 distinct" in summary.to_markdown()


@pytest.mark.parametrize(
    ("variant", "published", "pooled"),
    [("visual matching", 85.5, 88.2), ("variant aggregation", 74.7, 78.8)],
)
def test_google_robot_as_published(variant, published, pooled):
    found = RELEASED["google"][variant]
    played = [
        one
        for task, k in found["successes"].items()
        for one in counts(task, k, found["trials"][task])
    ]
    summary = summarise(variant, RELEASED["google"]["groups"], 1, played)
    assert set(summary.parts) == {"drawer", "coke", "move", "put"}
    rate, lo, hi = percent(summary.average)
    assert rate == published
    assert lo < rate < hi
    # a task of few trials weighs as much as one of many: that leaves more doubt than pooling
    assert hi - lo > 100 * (summary.success.hi - summary.success.lo)
    assert percent(summary.success)[0] == pooled


def test_repeats_that_disagree_all_count():
    played = trials("a", [1, 0, 1, 1], ["x", "x", "y", "y"])
    summary = summarise("", {}, 1, played)
    once = summarise("", {}, 1, trials("a", [1, 0, 1, 1]))
    assert summary.repeats == "disagree"
    assert summary.success.distinct == 2
    assert (summary.success.lo, summary.success.hi) == (once.success.lo, once.success.hi)
    assert "ended differently" in " ".join(summary.remarks)


def test_a_crash_fails_its_configuration_but_is_no_disagreement():
    played = trials("a", [1, 1, 1, 1], ["x", "x", "y", "y"])
    summary = summarise("", {}, 1, [crashed(played[0]), *played[1:]])
    assert summary.repeats == "agree"
    assert (summary.success.k, summary.success.n) == (3, 4)
    half = summarise("", {}, 1, trials("a", [0, 1])).success
    assert (summary.success.lo, summary.success.hi) == (half.lo, half.hi)
    assert summary.to_json()["errors"] == [
        {"trial": "a-0000", "task": "a", "index": 0, "seed": 7, "stages": 0, "error": "it\ndied"}
    ]
    assert "- a-0000, seed 7: died" in summary.to_markdown()


def test_tiers_weigh_alike_though_they_have_fewer_tasks():
    played = [*counts("a", 10, 10), *counts("b", 8, 10), *counts("c", 2, 10)]
    summary = summarise("", {"easy": ["a", "b"], "hard": ["c", "d"]}, 1, played)
    assert summary.average.rate == pytest.approx((0.9 + 0.2) / 2)
    assert summary.success.rate == pytest.approx(20 / 30)
    assert summary.missing == ("d",)
    assert "part of the suite" in summary.to_markdown()


def test_json_names_are_stable():
    summary = summarise("L", {"g": ["a"]}, 2, trials("a", [2, 1]), {"mujoco": "3.3.0"})
    found = json.loads(json.dumps(summary.to_json()))
    rate = {"n", "k", "rate", "lo", "hi", "distinct"}
    assert set(found["success"]) == set(found["tasks"]["a"]) == set(found["groups"]["g"]) == rate
    assert set(found["average"]) == rate | {"of"}
    assert found["label"] == "L"
    assert found["versions"] == {"mujoco": "3.3.0"}
    assert found["chain"]["mean_length"]["rate"] == 1.5
    assert found["failures"][0]["trial"] == "a-0001"
    assert found["episodes_per_cpu_minute"] == 120


@pytest.mark.parametrize(
    ("groups", "played", "says"),
    [
        ({}, [], "got none"),
        ({}, [*counts("a", 1, 1), *counts("a", 0, 1)], "a-0000"),
        ({"x": ["a"], "y": ["a"]}, counts("a", 1, 1), "every task in one group"),
    ],
)
def test_what_cannot_be_counted_is_refused(groups, played, says):
    with pytest.raises(SuiteError, match=says):
        summarise("", groups, 1, played)


def test_all_solved_is_exactly_one():
    tasks = {f"g{g}": [f"t{g}{t}" for t in range(7)] for g in range(3)}
    played = [one for names in tasks.values() for name in names for one in counts(name, 3, 3)]
    summary: SuiteSummary = summarise("", tasks, 1, played)
    assert summary.average.rate == summary.average.hi == 1.0
