"""Rules that read an answer out of a reply, against the published ones worked out by hand."""

import pytest

from takt.benchmarks.vision_language.mmmu_answer import mmmu_answer
from takt.benchmarks.vision_language.option_letter import option_letter
from takt.benchmarks.vision_language.question import Question
from takt.benchmarks.vision_language.relaxed_accuracy import relaxed_accuracy
from takt.benchmarks.vision_language.vqa_accuracy import normalise, vqa_accuracy
from takt.benchmarks.vision_language.yes_no import yes_no


def question(*answers: str, choices: tuple[str, ...] = ()) -> Question:
    return Question(key="1", where="", images=(), text="?", answers=answers, choices=choices)


ANIMALS = question("B", choices=("a cat", "a dog", "a red fox", "none"))


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("B", "B"),
        (" b.", "B"),
        ("(B)", "B"),
        ("B. a dog", "B"),
        ("**B**", "B"),
        ("The answer is B", "B"),
        ("A", "A"),
        ("A. A cat, not B", "A"),
        ("It shows A dog on grass", "B"),  # an article, then the option's own words
        ("a red fox", "C"),
        ("A red fox", "C"),  # all of an option, which begins with a capital
        ("B or C", ""),
        ("B, C", ""),
        ("B, C or D", ""),
        ("(A) or (B)", ""),
        ("B. C. D.", ""),
        ("B. Not C, since it is grey", "B"),
        ("a cat and a dog", ""),
        ("E", ""),
        ("", ""),
        ("a dog " * 20, ""),  # far longer than all options together
    ],
)
def test_a_letter_is_found_where_it_is_meant(reply, letter):
    assert option_letter(ANIMALS, reply) == (letter, float(letter == "B"))


@pytest.mark.parametrize("letter", "ABCD")
@pytest.mark.parametrize(
    "reply",
    [
        "The answer is {}.",
        "The correct answer is: {}",
        "The answer is **{}**",
        "Looking at it, I choose {}",
        "I think option {} fits the picture best",
        "I am sure that {} is right",
        "It must be {}, by its colour",
    ],
)
def test_every_letter_is_read_alike(letter, reply):
    assert option_letter(ANIMALS, reply.format(letter))[0] == letter


def test_an_option_within_another_is_not_meant_by_the_longer_one():
    counts = question("B", choices=("1", "10", "100", "none"))
    assert [option_letter(counts, reply)[0] for reply in ("10", "100.", "1")] == ["B", "C", "A"]


def test_an_article_is_no_letter():
    assert option_letter(ANIMALS, "There is A bird on it")[0] == ""


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("Yes.", "yes"),
        ("no, there is none", "no"),
        ("nothing", ""),
        ("yes and no", ""),
        ("", ""),
    ],
)
def test_yes_and_no_are_words(reply, found):
    assert yes_no(question("yes"), reply) == (found, float(found == "yes"))


@pytest.mark.parametrize(
    ("reply", "answer", "right"),
    [
        ("105", "100", 1),  # 5 % is still allowed
        ("105.1", "100", 0),
        ("-95", "-100", 1),
        ("14%", "0.14", 1),
        ("14", "14%", 0),
        ("0.0", "0", 0),  # no share of zero: compared as text
        ("0", "0", 1),
        ("Blue ", "blue", 1),
        ("dark blue", "blue", 0),
    ],
)
def test_numbers_may_be_five_percent_off(reply, answer, right):
    assert relaxed_accuracy(question(answer), reply)[1] == right


@pytest.mark.parametrize(("agreeing", "score"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0)])
def test_vqa_accuracy_leaves_each_annotator_out(agreeing, score):
    said = ("Nokia",) * agreeing + tuple(f"brand {i}" for i in range(10 - agreeing))
    assert vqa_accuracy(question(*said), "the nokia.")[1] == pytest.approx(score)


@pytest.mark.parametrize(("reply", "score"), [("14", 1.0), ("15", 0.0)])
@pytest.mark.parametrize("said", [("14",), ("14", "fourteen", "14.0")])
def test_few_annotators_are_compared_exactly(reply, score, said):
    assert vqa_accuracy(question(*said), reply)[1] == score


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The Two dogs!", "2 dogs"),
        ("dont stop", "don't stop"),
        ("1,000", "1000"),
        ("3.5", "3.5"),
        ("St. John's", "st john 's"),
        ("coca-cola", "coca cola"),
        ("a - b", "b"),
    ],
)
def test_vqa_texts_are_compared_without_their_dress(text, plain):
    assert normalise(text) == plain


@pytest.mark.parametrize(
    ("reply", "answers", "right"),
    [
        ("The answer is 42.0", ("42",), 1),
        ("x = 3 + 4 = 7", ("7",), 1),
        ("1,234.5 is too low\nso it is 1,500", ("1500",), 1),
        ("about 1.004", ("1.00",), 1),  # two decimals
        ("It has 5.2eV", ("5.2",), 1),  # a unit, no exponent
        ("It has 5.2e3 V", ("5.2",), 0),
        ("It is the Krebs cycle.", ("krebs cycle", "citric acid cycle"), 1),
        ("It could be mitosis", ("meiosis",), 0),
        ("banana", ("b",), 0),  # a single letter must stand alone
        ("", ("b",), 0),
    ],
)
def test_mmmu_looks_for_open_answers_in_the_last_words(reply, answers, right):
    assert mmmu_answer(question(*answers), reply)[1] == right


def test_mmmu_with_choices_is_a_letter():
    assert mmmu_answer(ANIMALS, "B.") == ("B", 1.0)
