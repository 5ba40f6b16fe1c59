"""Scores from answers, by the published formulas with numbers small enough to do by hand."""

import numpy as np
import pytest

from takt.benchmarks.vision_language import further_metrics
from takt.benchmarks.vision_language.counting import (
    Alone,
    Circular,
    ImagePairs,
    by_category,
    chance,
    score,
    units,
)
from takt.benchmarks.vision_language.estimates import mean, paired_difference
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


def test_a_row_counts_once_in_each_of_its_categories():
    answers = [answered(1, 1, categories=("random", "popular")), answered(2, 0)]
    found = units(Alone(), answers)
    assert score(Alone(), list(found.values())).rate == pytest.approx(2 / 3)
    assert {name: len(group) for name, group in by_category(found).items()} == {
        "popular": 1,
        "random": 1,
    }


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


def test_a_paired_difference_has_agresti_and_mins_interval():
    # 50 pairs, 12 gained and 2 lost: 10/52 ± 1.96 sqrt(15 - 100/52) / 52
    found = paired_difference([np.array([1] * 12 + [-1] * 2 + [0] * 36)])
    assert found.rate == pytest.approx(0.2)
    assert (found.lo, found.hi) == (
        pytest.approx(0.0560, abs=1e-4),
        pytest.approx(0.3286, abs=1e-4),
    )


def test_equal_answers_leave_some_doubt():
    few, many = (paired_difference([np.zeros(n)]) for n in (10, 1000))
    assert few.lo < many.lo < 0 < many.hi < few.hi


def test_shares_are_bounded_too():
    found = mean([np.array([0.9, 0.9, 1.0, 1.0])])
    assert 0 < found.lo < found.rate == 0.95 <= found.hi <= 1


def test_strata_weigh_the_same():
    found = paired_difference([np.array([1.0, 1.0, 1.0]), np.array([0.0])])
    assert found.rate == 0.5
    assert found.n == 4
