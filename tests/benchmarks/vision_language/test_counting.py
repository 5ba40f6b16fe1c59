"""Scores from answers, by the published formulas with numbers small enough to do by hand."""

import numpy as np
import pytest

from takt.benchmarks.vision_language import further_metrics
from takt.benchmarks.vision_language.counting import (
    Alone,
    Circular,
    ImagePairs,
    Unit,
    by_category,
    chance,
    design,
    samples,
    score,
    units,
)
from takt.benchmarks.vision_language.estimates import Design, mean, paired_difference
from takt.benchmarks.vision_language.question import Answered
from takt.benchmarks.wilson import wilson


def answered(key, score, *, group="", categories=("",), answer="", found="", chance=0.5):
    return Answered(
        key=str(key),
        group=group,
        categories=categories,
        answer=answer,
        reply=found,
        found=found,
        score=float(score),
        chance=chance,
    )


def test_a_proportion_has_its_wilson_interval():
    found = score(Alone(), list(units(Alone(), [answered(i, i < 7) for i in range(10)]).values()))
    expected = wilson(7, 10)
    assert (found.n, found.rate, found.lo, found.hi) == (10, 0.7, expected.lo, expected.hi)


def test_popes_questions_weigh_by_category_and_count_once():
    # As in the TSV one row of two categories; as in parquet two rows of one group.
    once = [answered(1, 1, categories=("popular", "random")), answered(2, 0)]
    twice = [
        answered(1, 1, categories=("popular",), group="g"),
        answered(3, 1, categories=("random",), group="g"),
        answered(2, 0),
    ]
    for answers in (once, twice):
        found = units(Alone(), answers)
        estimate = score(Alone(), list(found.values()))
        assert estimate.rate == pytest.approx(2 / 3)
        assert estimate.n == 2
        parts = by_category(found)
        assert {name: len(part) for name, part in parts.items()} == {"popular": 1, "random": 1}
        assert score(Alone(), list(parts["random"].values())).rate == 1
        assert samples(answers) == 3


def test_a_question_in_three_categories_says_no_more_than_one():
    single = [answered(i, i < 80) for i in range(100)]
    triple = [answered(i, i < 80, categories=("a", "b", "c")) for i in range(100)]
    one, three = (score(Alone(), list(units(Alone(), a).values())) for a in (single, triple))
    assert one == three


def test_a_circular_group_is_right_if_every_pass_is():
    passes = {"7": (1, 1, 1), "8": (1, 0, 1)}
    answers = [
        answered(f"{group}.{i}", s, group=group, chance=1 / 3)
        for group, scores in passes.items()
        for i, s in enumerate(scores)
    ]
    found = list(units(Circular(), answers).values())
    assert score(Circular(), found).rate == 0.5
    assert score(Circular(), found).n == 2
    assert chance(Circular(), found) == pytest.approx(1 / 27)
    assert further_metrics.circular(answers) == {"single_pass": pytest.approx(5 / 6)}


def test_a_group_that_lost_a_member_does_not_count():
    pairs = {"a": (1, 1), "b": (1, 0), "c": (1,)}
    answers = [
        answered(f"{group}{i}", s, group=group)
        for group, scores in pairs.items()
        for i, s in enumerate(scores)
    ]
    assert set(units(Circular(), answers)) == {"a", "b"}
    assert set(units(ImagePairs(), answers)) == {"a", "b"}
    # Fewer options make smaller groups, which lost nothing.
    smaller = [answered("d0", 1, group="d", chance=1 / 4)]
    assert set(units(Circular(), [*answers, *smaller])) == {"a", "b", "d"}


def test_mme_adds_accuracy_and_images_with_both_right():
    # OCR: images (1, 1) and (1, 0): accuracy 75, both right 50, so 125 points of 200.
    # code_reasoning: one image (0, 0): nothing.
    scores = {"OCR/a": (1, 1), "OCR/b": (1, 0), "code_reasoning/c": (0, 0)}
    answers = [
        answered(f"{image}{i}", s, group=image, categories=(image.split("/")[0],))
        for image, pair in scores.items()
        for i, s in enumerate(pair)
    ]
    assert further_metrics.mme(answers) == {"perception": 125.0, "cognition": 0.0}
    found = list(units(ImagePairs(), answers).values())
    assert score(ImagePairs(), found).rate == pytest.approx(125 / 400)
    assert chance(ImagePairs(), found) == pytest.approx((0.5 + 0.25) / 2)
    one = further_metrics.mme(answers[:4])
    assert one == {"perception": 125.0, "cognition": 0.0}, "a single category counts too"


def test_popes_f1_counts_a_strange_reply_as_no_yes():
    pairs = [("yes", "yes"), ("yes", ""), ("no", "yes"), ("no", "no")]
    answers = [answered(i, a == f, answer=a, found=f) for i, (a, f) in enumerate(pairs)]
    assert further_metrics.pope(answers) == {
        "f1": 0.5,
        "precision": 0.5,
        "recall": 0.5,
        "yes_ratio": 0.5,
    }
    silent = [answered(1, 0, answer="yes")]
    assert further_metrics.pope(silent)["f1"] == 0


def plain(count):
    return Design(np.full(count, 1 / count), np.zeros(count, int))


def test_a_paired_difference_has_agresti_and_mins_interval():
    # 50 pairs, 12 gained and 2 lost: 10/52 ± 1.96 sqrt(15 - 100/52) / 52
    found = paired_difference(np.array([1.0] * 12 + [-1] * 2 + [0] * 36), plain(50))
    assert found.rate == pytest.approx(0.2)
    assert (found.lo, found.hi) == (
        pytest.approx(0.0560, abs=1e-4),
        pytest.approx(0.3286, abs=1e-4),
    )


def test_equal_answers_leave_some_doubt():
    few, many = (paired_difference(np.zeros(n), plain(n)) for n in (10, 1000))
    assert few.lo < many.lo < 0 < many.hi < few.hi


def test_shares_are_bounded_too():
    found = mean(np.array([0.9, 0.9, 1.0, 1.0]), plain(4))
    assert 0 < found.lo < found.rate == 0.95 <= found.hi <= 1


def pairs_of(rng, rate, counts=(30, 30, 147, 170, 200, 20, 70, 20)):
    """Image pairs in categories as uneven as MME's, each question right with `rate`."""
    right = rng.random((sum(counts), 2)) < rate
    values = (right.mean(1) + right.all(1)) / 2
    names = np.repeat(np.arange(len(counts)).astype(str), counts)
    return [Unit((name,), value, 0.375) for name, value in zip(names.tolist(), values, strict=True)]


@pytest.mark.parametrize("rate", [0.6, 0.9, 0.97])
def test_mmes_interval_covers_the_truth(rate):
    rng, truth, covered = np.random.default_rng(0), (rate + rate**2) / 2, 0
    for _ in range(300):
        found = score(ImagePairs(), pairs_of(rng, rate))
        covered += found.lo <= truth <= found.hi
    assert 0.92 <= covered / 300 <= 0.99


def test_the_interval_of_mmes_difference_covers_the_truth():
    rng, covered = np.random.default_rng(0), 0
    truth = (0.9 + 0.9**2) / 2 - (0.97 + 0.97**2) / 2
    for _ in range(300):
        before, after = pairs_of(rng, 0.97), pairs_of(rng, 0.9)
        steps = [now.score - unit.score for unit, now in zip(before, after, strict=True)]
        found = paired_difference(np.array(steps), design(ImagePairs(), before))
        covered += found.lo <= truth <= found.hi
    assert 0.92 <= covered / 300 <= 0.99


def test_categories_of_mme_weigh_the_same():
    found = score(ImagePairs(), [*[Unit(("a",), 1.0, 0.0)] * 3, Unit(("b",), 0.0, 0.0)])
    assert found.rate == pytest.approx(0.5)
    assert found.n == 4
