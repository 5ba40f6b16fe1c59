"""How each benchmark is asked: the default prompts of lmms-eval 0.7.3 (tasks/*/*.yaml, utils.py).

Images come before the text. One prompt for a benchmark, whichever file its row came from.
"""

from takt.benchmarks.vision_language.question import Question

LETTER = "Answer with the option's letter from the given choices directly."
BRIEFLY = "Answer the question using a single word or phrase."
_MME_SUFFIX = " Please answer yes or no."


def as_is(question: Question) -> str:
    """ERQA and the toy: the question says itself how to answer, unless its options are apart."""
    return choose(question) if any(question.choices) else question.text


def choose(question: Question) -> str:
    """SEED, AI2D, ScienceQA: the options, one a line; a hint is the context."""
    context = f"Context: {question.hint}\n" if question.hint else ""
    return f"{context}{question.text}\n{_options(question)}\n{LETTER}"


def choose_mmbench(question: Question) -> str:
    """MMBench: hint and question in one line."""
    hint = f"{question.hint} " if question.hint else ""
    return f"{hint}{question.text} There are several options:\n{_options(question)}\n\n{LETTER}"


def mmmu(question: Question) -> str:
    """MMMU: options where there are any; images are named "<image 1>" in the text."""
    if not question.choices:
        return f"{question.text}\n\n{BRIEFLY}"
    return f"{question.text}\n{_options(question)}\n\n{LETTER}"


def briefly(question: Question) -> str:
    """POPE and MME, whose own suffix falls away."""
    return f"{question.text.strip().replace(_MME_SUFFIX, '')}\n{BRIEFLY}"


def briefly_textvqa(question: Question) -> str:
    """TextVQA: only the first letter is a capital one."""
    return f"{question.text.capitalize()}\n{BRIEFLY}"


def one_word(question: Question) -> str:
    """ChartQA."""
    return f"{question.text}\nAnswer the question with a single word."


def _options(question: Question) -> str:
    pairs = zip(question.letters, question.choices, strict=True)
    return "\n".join(f"{letter}. {choice}" for letter, choice in pairs)
