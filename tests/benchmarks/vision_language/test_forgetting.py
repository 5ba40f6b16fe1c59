"""Stages on the same questions: what was kept, lost and gained."""

import json
import re
from contextlib import closing
from dataclasses import replace

import pytest

from takt.benchmarks.vision_language.forgetting import compare, mean_kept, read_stage
from takt.benchmarks.vision_language.forgetting_page import build_page
from takt.benchmarks.vision_language.question import RULES, Answered
from takt.benchmarks.vision_language.store import SUMMARY, AnswersError, AnswerStore, Run
from takt.cli import main

RUN = Run(
    benchmark="pope",
    policy="<p>",
    checkpoint_digest="base",
    data="d",
    data_digest="d",
    answer_tokens=4,
)
ANSWER = Answered(
    key="",
    group="",
    categories=("",),
    answer="yes",
    reply="",
    found="",
    score=0.0,
    chance=0.5,
)


def fill(folder, checkpoint, scores, *, name="pope", rules=RULES, **change):
    """Answers with these scores: the first fifty of category a, the rest of b."""
    run = replace(RUN, benchmark=name, checkpoint_digest=checkpoint, **change)
    with closing(AnswerStore(folder / name, run)) as store:
        for number, score in enumerate(scores):
            store.add(
                replace(
                    ANSWER,
                    key=str(number),
                    categories=("ab"[number >= 50],),
                    score=float(score),
                    rules=rules,
                )
            )
    (folder / name / SUMMARY).write_text("{}")
    return read_stage(folder)


def change_in(comparison, stage=0):
    change = comparison.changes[stage]
    assert change
    return change


@pytest.fixture
def stages(tmp_path):
    """Of 100 questions the base answers 90, a stage 70 (21 lost, 1 gained)."""
    base = [1] * 90 + [0] * 10
    after = [0] * 21 + [1] * 69 + [1] + [0] * 9
    return (
        fill(tmp_path / "base", "base", base),
        fill(tmp_path / "after", "after", after),
    )


def test_a_stage_is_compared_on_the_same_questions(stages):
    base, after = stages
    (found,) = compare(base, [after])
    change = change_in(found)
    assert (found.base.rate, found.chance, change.score.rate) == pytest.approx((0.9, 0.5, 0.7))
    assert change.difference.rate == pytest.approx(-0.2)
    # -20/102 -/+ 1.96 sqrt(23 - 400/102) / 102
    assert change.difference.lo == pytest.approx(-0.2801, abs=1e-4)
    assert change.difference.hi == pytest.approx(-0.1121, abs=1e-4)
    assert (change.lost, change.gained) == (21, 1)
    assert change.kept
    assert change.kept.rate == pytest.approx(0.5)  # (70 - 50) of (90 - 50)
    assert change.kept.hi == pytest.approx(1 - 0.1121 / 0.4, abs=1e-3)
    assert mean_kept([found], 0) == (pytest.approx(0.5), 1)
    assert [part.title for part in found.categories] == ["a", "b"]
    assert change_in(found.categories[0]).lost == 21


def test_only_questions_that_all_answered_count(stages, tmp_path):
    base, after = stages
    short = fill(tmp_path / "short", "short", [1] * 40)
    (found,) = compare(base, [after, short])
    assert (found.base.n, found.base.rate) == (40, 1.0)
    assert change_in(found).difference.rate == pytest.approx(-21 / 40)


def test_skill_at_chance_cannot_be_kept(tmp_path):
    base = fill(tmp_path / "base", "base", [1, 0] * 20)
    after = fill(tmp_path / "after", "after", [1] * 40)
    (found,) = compare(base, [after])
    assert change_in(found).kept is None
    assert mean_kept([found], 0) is None
    assert "the base is not above chance" in build_page(base, [after], [found])


@pytest.mark.parametrize(
    ("change", "says"),
    [({"data_digest": "x"}, "data: d "), ({"answer_tokens": 9}, "answer_tokens")],
)
def test_other_questions_are_not_compared(stages, tmp_path, change, says):
    other = fill(tmp_path / "other", "other", [1] * 100, **change)
    with pytest.raises(AnswersError, match=says):
        compare(stages[0], [other])


def test_answers_judged_by_earlier_rules_are_not_compared(stages, tmp_path):
    other = fill(tmp_path / "other", "other", [1] * 100, rules=RULES - 1)
    with pytest.raises(AnswersError, match="asks nothing"):
        compare(stages[0], [other])


def test_a_group_that_one_stage_lost_in_part_is_left_out(tmp_path):
    stages = []
    for name, lost in (("base", ()), ("after", ("3",))):
        stage = fill(tmp_path / name, name, [0], name="mme")
        with closing(AnswerStore(stage.folder / "mme", stage.runs["mme"])) as store:
            for number in range(6):
                if str(number) in lost:
                    continue
                store.add(replace(ANSWER, key=str(number), group=f"OCR/{number // 2}", score=1.0))
        stages.append(stage)
    (found,) = compare(stages[0], stages[1:])
    assert (found.base.n, found.incomplete) == (2, 1)
    assert (found.samples, found.whole) == (5, 2374)
    assert "1 incomplete groups left out" in build_page(stages[0], stages[1:], [found])


def test_a_stage_is_one_finished_checkpoint(stages, tmp_path):
    with pytest.raises(AnswersError, match="of several"):
        fill(tmp_path / "base", "another", [1], name="mme")
    (tmp_path / "after/pope" / SUMMARY).unlink()
    with pytest.raises(AnswersError, match="not finished|finished run"):
        read_stage(tmp_path / "after")
    with pytest.raises(AnswersError, match="found none"):
        read_stage(tmp_path / "nowhere")


def test_stages_of_the_same_name_are_told_apart(tmp_path, capsys):
    folders = [tmp_path / run / "policy" for run in ("one", "two")]
    for folder in folders:
        fill(folder, folder.parent.name, [1, 0] * 20)
    out = tmp_path / "report"
    assert main(["eval", "forgetting", *map(str, folders), "--out", str(out)]) == 0
    assert "two/policy 50.0 %" in (shown := capsys.readouterr().out)
    assert "reaches down to chance" in shown
    assert "1 benchmark · 2 checkpoints" in (out / "forgetting.html").read_text()
    assert main(["eval", "forgetting", *[str(folders[0])] * 2]) == 2
    assert "folders that differ" in capsys.readouterr().err


def test_the_command_writes_page_and_numbers(stages, tmp_path, capsys):
    folders = [str(tmp_path / name) for name in ("base", "after")]
    out = tmp_path / "report"
    assert main(["eval", "forgetting", *folders, "--out", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found == json.loads((out / "forgetting.json").read_text())
    assert found["comparisons"][0]["changes"][0]["kept"]["rate"] == pytest.approx(0.5)
    page = (out / "forgetting.html").read_text()
    assert not re.search(r'(?:src|href)="', page), "nothing is fetched"
    for figure in ("50<small> %", "-20.0 (-28.0 to -11.2)", "lost 21, gained 1", "&lt;p&gt;"):
        assert figure in page, figure
    assert main(["eval", "forgetting", folders[0]]) == 2
    assert "at least one stage" in capsys.readouterr().err
