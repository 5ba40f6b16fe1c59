"""VQA accuracy: how many of ten annotators agree with a reply.

Antol et al. 2015, with the normalisation of EvalAI, the servers of VQA and TextVQA, as lmms-eval
has it (tasks/_task_utils/vqa_eval_metric.py): leave one annotator out, min(1, agreeing / 3), mean.
Below four annotators not even all of them could make a reply right: there any one of them does.
"""

import re

from takt.benchmarks.vision_language.question import Question

AGREEING = 3  # annotators that make a reply right
_ARTICLES = ("a", "an", "the")
_PUNCTUATION = ';/[]"{}()=+\\_->@<`!'
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {"none": "0"} | {word: str(number) for number, word in enumerate(_NUMBERS)}
_CONTRACTED = """
    ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd
    how'll how's isn't it'd it'll ma'am might've mightn't must've mustn't needn't not've o'clock
    oughtn't shan't should've shouldn't somebody'd somebody'll somebody's someone'd someone'll
    someone's something'd something'll that's there'd there're there's they'd they'll they're
    they've wasn't we've weren't what'll what're what's what've when's where'd where's where've
    who'd who'll who's who've why'll why're why's won't would've wouldn't y'all you'd you'll
    you're you've
"""
_CONTRACTIONS = {word.replace("'", ""): word for word in _CONTRACTED.split()}


def vqa_accuracy(question: Question, reply: str) -> tuple[str, float]:
    """The reply as compared, and its accuracy over `answers`, one of each annotator."""
    found, said = normalise(reply), [normalise(answer) for answer in question.answers]
    if len(said) <= AGREEING:
        return found, float(found in said)
    agreeing = said.count(found)
    scores = [min(1.0, (agreeing - (other == found)) / AGREEING) for other in said]
    return found, sum(scores) / len(scores)


def normalise(text: str) -> str:
    """Lower case, without punctuation and articles, number words as digits."""
    text = text.lower().replace(",", "").replace("?", "").replace("'s", " 's")
    text = text.replace("\n", " ").replace("\t", " ").strip()
    # A mark beside a space falls away, one between letters becomes a space.
    spoken = text
    for mark in _PUNCTUATION:
        beside_space = f"{mark} " in spoken or f" {mark}" in spoken
        text = text.replace(mark, "" if beside_space else " ")
    text = re.sub(r"\.(?!\d)", "", text)
    words = [_DIGITS.get(word, word) for word in text.split()]
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)
