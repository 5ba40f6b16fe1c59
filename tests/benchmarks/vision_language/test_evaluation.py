"""A run asks every question once, whatever interrupts it."""

import json
from contextlib import closing
from dataclasses import replace

import pytest
from vl_files import pope_rows, stored, write_parquet

from takt.benchmarks.vision_language.evaluation import BadRows, evaluate, open_source, questions
from takt.benchmarks.vision_language.question import RULES, UnanswerableError
from takt.benchmarks.vision_language.store import AnswersError, AnswerStore, Run, read_answers
from takt.benchmarks.vision_language.summary import summarise
from takt.benchmarks.vision_language.table import BENCHMARKS
from takt.folder_lock import FolderInUseError
from takt.types import TaktError

RUN = Run(
    benchmark="pope",
    policy="p",
    checkpoint_digest="c",
    data="d",
    data_digest="e",
    answer_tokens=4,
)


class Oracle:
    """Says yes, and is interrupted before question number `stop`."""

    def __init__(self, stop=None):
        self.prompts, self._stop = [], stop

    def __call__(self, images, prompt):
        assert images[0].shape == (32, 32, 3)
        if len(self.prompts) == self._stop:
            raise KeyboardInterrupt
        self.prompts.append(prompt)
        return "Yes."

    def report(self, done, mean):
        self.shown = done, mean


@pytest.fixture
def data(tmp_path):
    return write_parquet(tmp_path / "pope.parquet", pope_rows(5))


def run(data, folder, oracle, *, name="pope", skip=False):
    benchmark, bad = BENCHMARKS[name], BadRows(skip)
    asked = questions(benchmark, open_source(name, data), bad)
    with closing(AnswerStore(folder, replace(RUN, benchmark=name))) as store:
        answers = evaluate(benchmark, asked, oracle, store, bad, oracle.report)
    return summarise(name, "p", benchmark, answers, len(bad.errors))


def test_an_interrupted_run_goes_on_where_it_was(data, tmp_path):
    folder = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(data, folder, Oracle(stop=3))
    with (folder / "answers.jsonl").open("a") as file:
        file.write('{"key": "4", "gr')  # a kill in the middle of a line
    second = Oracle()
    summary = run(data, folder, second)
    assert len(second.prompts) == 2
    assert second.shown == (5, 0.4)
    assert list(read_answers(folder)) == ["1", "2", "3", "4", "5"]
    whole = run(data, tmp_path / "whole", Oracle())
    assert summary == whole
    assert (summary.questions, summary.score.rate, summary.chance) == (5, 0.4, 0.5)
    assert summary.further["recall"] == 1
    assert {name: found.n for name, found in summary.categories.items()} == {
        "adversarial": 3,
        "random": 2,
    }


@pytest.mark.parametrize(
    "change",
    [{"checkpoint_digest": "x"}, {"data_digest": "x"}, {"benchmark": "mme"}, {"answer_tokens": 5}],
)
def test_answers_of_another_run_are_not_mixed_in(change, data, tmp_path):
    run(data, tmp_path / "out", Oracle())
    (name,) = change
    with pytest.raises(AnswersError, match=rf"{name.removesuffix('_digest')}: .*, now .*"):
        AnswerStore(tmp_path / "out", replace(RUN, **change))
    AnswerStore(tmp_path / "out", replace(RUN, policy="moved", data="moved")).close()


def test_a_folder_is_free_until_something_is_answered(tmp_path):
    data = write_parquet(tmp_path / "pope.parquet", [{"text": "no question"}])
    with pytest.raises(TaktError, match="row 1"):
        run(data, tmp_path / "out", Oracle())
    AnswerStore(tmp_path / "out", replace(RUN, data_digest="x")).close()
    assert not any((tmp_path / "out").iterdir())


def test_one_process_at_a_time(tmp_path):
    with closing(AnswerStore(tmp_path, RUN)), pytest.raises(FolderInUseError):
        AnswerStore(tmp_path, RUN)


def test_a_damaged_line_is_named(data, tmp_path):
    run(data, tmp_path / "out", Oracle())
    path = tmp_path / "out" / "answers.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "{}", *lines[2:]]) + "\n")
    with pytest.raises(AnswersError, match=r"answers.jsonl, line 2"):
        run(data, tmp_path / "out", Oracle())


def test_a_damaged_image_is_a_damaged_row(tmp_path):
    rows = pope_rows(2)
    rows[0]["image"] = stored(0) | {"bytes": b"no image"}
    data = write_parquet(tmp_path / "pope.parquet", rows)
    with pytest.raises(TaktError, match=r"pope.parquet, row 1: image: .*--skip-bad"):
        run(data, tmp_path / "out", Oracle())
    summary = run(data, tmp_path / "out", Oracle(), skip=True)
    assert (summary.questions, summary.skipped) == (1, 1)


def test_a_question_that_the_policy_refuses_is_a_damaged_row(data, tmp_path):
    class Refusing(Oracle):
        def __call__(self, images, prompt):
            if "thing 1 " in prompt:
                raise UnanswerableError("too narrow")
            return super().__call__(images, prompt)

    with pytest.raises(TaktError, match=r"pope.parquet, row 2: too narrow.*--skip-bad"):
        run(data, tmp_path / "out", Refusing())
    summary = run(data, tmp_path / "out", Refusing(), skip=True)
    assert (summary.questions, summary.skipped) == (4, 1)


def test_a_group_with_a_damaged_row_is_left_out(tmp_path):
    row = {"question": "Is it?", "answer": "Yes", "category": "OCR", "image": stored(1)}
    rows = [row | {"question_id": f"{number // 2}.png"} for number in range(6)]
    rows[5]["answer"] = "?"
    data = write_parquet(tmp_path / "mme.parquet", rows)
    summary = run(data, tmp_path / "out", Oracle(), name="mme", skip=True)
    assert (summary.questions, summary.score.n) == (5, 2)
    assert (summary.skipped, summary.incomplete) == (1, 1)


def test_stored_replies_are_judged_by_todays_rules(data, tmp_path):
    folder = tmp_path / "out"
    summary = run(data, folder, Oracle())
    path = folder / "answers.jsonl"
    answers = [json.loads(line) for line in path.read_text().splitlines()]
    answers[1] |= {"found": "", "score": 0.0}
    del answers[1]["rules"]
    path.write_text("".join(json.dumps(answer) + "\n" for answer in answers))
    assert read_answers(folder)["2"].rules < RULES
    assert run(data, folder, Oracle(stop=0)) == summary
    assert {answer.rules for answer in read_answers(folder).values()} == {RULES}


def test_a_source_fits_its_benchmark(data):
    with pytest.raises(TaktError, match="its file or folder"):
        open_source("pope", None)
    with pytest.raises(TaktError, match="draws its questions"):
        open_source("blocks", data)


def test_a_file_without_questions_is_refused(tmp_path):
    data = write_parquet(tmp_path / "pope.parquet", [pope_rows(1)[0] | {"answer": "?"}])
    with pytest.raises(TaktError, match="expected questions, got none"):
        run(data, tmp_path / "out", Oracle(), skip=True)


def test_the_toy_judges_points_and_colours():
    benchmark, asked = BENCHMARKS["blocks"], []
    for question in questions(benchmark, open_source("blocks", None), BadRows(skip=False)):
        asked.append(question)
        if len(asked) == 8:
            break
    assert [question.categories[0] for question in asked[:4]] == [
        "where",
        "which",
        "exists",
        "paint",
    ]
    for question in asked:
        assert benchmark.judge(question, question.answers[0])[1] == 1
        assert benchmark.judge(question, "grey")[1] == 0
