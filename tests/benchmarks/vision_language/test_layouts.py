"""Files in the real layouts, read as the questions that lmms-eval would ask."""

import pytest
from vl_files import png, pope_rows, stored, write_parquet, write_tsv, written

from takt.benchmarks.vision_language.evaluation import BadRows, first, questions
from takt.benchmarks.vision_language.question import RowError
from takt.benchmarks.vision_language.rows import open_table
from takt.benchmarks.vision_language.table import BENCHMARKS, Benchmark
from takt.datasets.errors import CorruptFileError, MissingDataError
from takt.types import TaktError

LETTER = "Answer with the option's letter from the given choices directly."
BRIEFLY = "Answer the question using a single word or phrase."
MULTIPLE = {"question": "What?", "A": "a cat", "B": "a dog", "C": "", "D": ""}

PARQUET = {
    "erqa": (
        {"question": "Which? A. x B. y", "images": [stored(1), stored(2)], "answer": "D"},
        "Which? A. x B. y",
        ("D",),
    ),
    "seed": (
        {
            "question": "How many?",
            **{f"choice_{letter}": f"{letter}{letter}" for letter in "abcd"},
            "answer": "C",
            "data_type": "image",
            "image": [stored(1)],
        },
        f"How many?\nA. aa\nB. bb\nC. cc\nD. dd\n{LETTER}",
        ("C",),
    ),
    "pope": (pope_rows(2)[1], f"Is there a thing 1 in the image?\n{BRIEFLY}", ("yes",)),
    "ai2d": (
        {"question": "Which?", "options": ["egg", "moth"], "answer": "1", "image": stored(1)},
        f"Which?\nA. egg\nB. moth\n{LETTER}",
        ("B",),
    ),
    "mmbench": (
        MULTIPLE
        | {"index": 3, "hint": "nan", "answer": "A", "category": "ocr", "image": stored(1)},
        f"What? There are several options:\nA. a cat\nB. a dog\n\n{LETTER}",
        ("A",),
    ),
    "mme": (
        {
            "question_id": "OCR/1.png",
            "question": "Is it? Please answer yes or no.",
            "answer": "Yes",
            "category": "OCR",
            "image": stored(1),
        },
        f"Is it?\n{BRIEFLY}",
        ("yes",),
    ),
    "mmmu": (
        {
            "question": "See <image 1>.",
            "options": "['<image 3>', \"Peter's\"]",
            "question_type": "multiple-choice",
            "answer": "B",
            "image_1": stored(1),
            "image_2": None,
            "image_3": stored(3),
        },
        f"See <image 1>.\nA. <image 3>\nB. Peter's\n\n{LETTER}",
        ("B",),
    ),
    "textvqa": (
        {"question": "what BRAND?", "answers": ["nokia"] * 9 + ["the"], "image": stored(1)},
        f"What brand?\n{BRIEFLY}",
        ("nokia",) * 9 + ("the",),
    ),
    "scienceqa": (
        {
            "question": "Why?",
            "choices": ["x", "y", "z"],
            "answer": 2,
            "hint": "Look.",
            "image": stored(1),
        },
        f"Context: Look.\nWhy?\nA. x\nB. y\nC. z\n{LETTER}",
        ("C",),
    ),
    "chartqa": (
        {"question": "How much?", "answer": "14", "type": "human_test", "image": stored(1)},
        "How much?\nAnswer the question with a single word.",
        ("14",),
    ),
}


def read(name, path, bad=None):
    benchmark: Benchmark = BENCHMARKS[name]
    return list(questions(benchmark, open_table(path), bad or BadRows(skip=False)))


@pytest.mark.parametrize("name", PARQUET)
def test_a_parquet_row_becomes_the_question_that_is_asked(name, tmp_path):
    row, prompt, answers = PARQUET[name]
    (found,) = read(name, write_parquet(tmp_path / "x.parquet", [row]))
    assert BENCHMARKS[name].ask(found) == prompt
    assert found.answers == answers
    assert found.images[0] == png(1)
    assert len(found.images) == (2 if name in ("erqa", "mmmu") else 1)


def test_the_table_has_all_ten():
    assert set(PARQUET) == set(BENCHMARKS) - {"blocks"}


@pytest.mark.parametrize("label", ["[Austria, Chile]", "[2014, 2016]"])
def test_a_label_of_chartqa_is_one_text(label, tmp_path):
    row = PARQUET["chartqa"][0] | {"answer": label}
    (found,) = read("chartqa", write_parquet(tmp_path / "x.parquet", [row]))
    assert found.answers == (label,)
    (found,) = read("chartqa", write_tsv(tmp_path / "x.tsv", [row | {"image": written(1)}]))
    assert found.answers == (label,)


def test_the_same_question_of_pope_is_one_group(tmp_path):
    row, other = pope_rows(2)
    rows = [row, row | {"category": "popular"}, row | {"image": other["image"]}, other]
    found = read("pope", write_parquet(tmp_path / "x.parquet", rows))
    groups = [question.group for question in found]
    assert groups[0] == groups[1]
    assert len(set(groups)) == 3


def test_an_open_question_of_mmmu_takes_any_of_its_answers(tmp_path):
    row = PARQUET["mmmu"][0] | {"question_type": "open", "answer": "['7', 'seven']"}
    (found,) = read("mmmu", write_parquet(tmp_path / "x.parquet", [row]))
    assert (found.answers, found.choices) == (("7", "seven"), ())
    assert BENCHMARKS["mmmu"].ask(found) == f"See <image 1>.\n\n{BRIEFLY}"


def test_questions_about_videos_are_no_part_of_seed_image(tmp_path):
    row = PARQUET["seed"][0]
    path = write_parquet(tmp_path / "x.parquet", [row | {"data_type": "video"}, row])
    assert [question.key for question in read("seed", path)] == ["2"]


def test_shards_are_counted_on(tmp_path):
    for number in (0, 1):
        write_parquet(tmp_path / f"test-0000{number}-of-00002.parquet", pope_rows(2))
    table = open_table(tmp_path)
    assert table.count == 4
    assert [row.key for row in table.rows()] == ["1", "2", "3", "4"]
    assert [row.where for row in table.rows()][3].endswith("test-00001-of-00002.parquet, row 2")


def test_a_tsv_lends_images_and_rolls_its_options(tmp_path):
    row = MULTIPLE | {"index": 7, "hint": "", "answer": "A", "category": "x\ty", "image": "8"}
    other = row | {"index": 8, "image": written(8)}
    rolled = row | {"index": 1_000_007, "A": "a dog", "B": "a cat", "answer": "B", "image": "8"}
    found = read("mmbench", write_tsv(tmp_path / "x.tsv", [row, other, rolled]))
    assert [question.images for question in found] == [(png(8),)] * 3
    assert [question.group for question in found] == ["7", "8", "7"]
    assert [question.answers for question in found] == [("A",), ("A",), ("B",)]
    assert found[0].categories == ("x\ty",)
    assert open_table(tmp_path / "x.tsv").count == 3


def test_tsvs_of_the_other_kinds(tmp_path):
    image = written(1)
    polled = {
        "index": 0,
        "image": image,
        "question": "Is it?",
        "answer": "No",
        "category": "random,popular",
    }
    (found,) = read("pope", write_tsv(tmp_path / "pope.tsv", [polled]))
    assert (found.answers, found.categories) == (("no",), ("random", "popular"))
    said = {"index": 0, "image": image, "question": "What?", "answer": "['a', 'b']"}
    (found,) = read("textvqa", write_tsv(tmp_path / "vqa.tsv", [said]))
    assert found.answers == ("a", "b")
    shown = MULTIPLE | {"index": 0, "image": f"['{image}', '{written(2)}']", "answer": "B"}
    (found,) = read("erqa", write_tsv(tmp_path / "erqa.tsv", [shown]))
    assert found.images == (png(1), png(2))
    assert BENCHMARKS["erqa"].ask(found).startswith("What?\nA. a cat")
    open_ended = shown | {"A": "", "B": "", "answer": "8"}
    (found,) = read("mmmu", write_tsv(tmp_path / "mmmu.tsv", [open_ended]))
    assert (found.answers, found.choices) == (("8",), ())


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("pope", {"answer": "maybe"}, "yes or no, got 'maybe'"),
        ("pope", {"question": None}, "text in the column 'question'"),
        ("pope", {"image": {"bytes": None, "path": "x.jpg"}}, "an image in the column 'image'"),
        ("ai2d", {"answer": "2"}, "a position in 2 options, got 2"),
        ("ai2d", {"answer": "B"}, "a whole number, got 'B'"),
        ("ai2d", {"options": None}, "text in the column 'options'"),
        ("mmbench", {"answer": "C"}, "one of 2 options, got 'C'"),
        ("mmmu", {"options": "['a', "}, "options: expected a list"),
        ("mme", {"question_id": ""}, "the image's name"),
    ],
)
def test_a_damaged_row_is_named_or_left_out(name, change, says, tmp_path):
    row = PARQUET[name][0]
    path = write_parquet(tmp_path / "x.parquet", [row, row | change])
    with pytest.raises(TaktError, match=rf"x.parquet, row 2: .*{says}.*--skip-bad"):
        read(name, path)
    bad = BadRows(skip=True)
    assert [question.key for question in read(name, path, bad)] == ["1"]
    assert [type(error) for error in bad.errors] == [RowError]


def test_a_torn_tsv_row_is_one_damaged_row(tmp_path):
    path = write_tsv(tmp_path / "x.tsv", [MULTIPLE | {"image": written(1), "answer": "A"}])
    path.write_text(path.read_text() + "half a row\n")
    with pytest.raises(TaktError, match="row 2: expected 7 cells, got 1"):
        read("ai2d", path)


def test_what_is_no_table_is_refused(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(CorruptFileError, match="x.parquet"):
        open_table(tmp_path / "x.parquet")
    for path in (tmp_path / "none.tsv", tmp_path / "x.json"):
        with pytest.raises(MissingDataError):
            open_table(path)


def test_a_limit_keeps_groups_whole(tmp_path):
    row = PARQUET["mmbench"][0]
    rolled = [row | {"index": index} for index in (1, 2, 1_000_001, 1_000_002)]
    found = read("mmbench", write_parquet(tmp_path / "x.parquet", rolled))
    kept = first(found, 1, BENCHMARKS["mmbench"])
    assert [question.key for question in kept] == ["1", "3"]
    polled = read("pope", write_parquet(tmp_path / "pope.parquet", pope_rows(4)))
    assert [question.key for question in first(polled, 2, BENCHMARKS["pope"])] == ["1", "2"]
