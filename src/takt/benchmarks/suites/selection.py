"""Which of a suite's tasks or trials are meant: `reach,door-open`, `0,4`, `0-9` (inclusive)."""

from collections.abc import Sequence

from takt.benchmarks.suites.suite import SuiteError


def select(text: str, names: Sequence[str]) -> list[str]:
    """Those of `names` that `text` means, in its order, each once.

    Args:
        text: Names, ids (places in `names`, from 0) and ranges of ids, joined by commas; or `all`.
        names: All there are, in the order of their ids.

    Raises:
        SuiteError: an unknown name, or ids out of range.
    """
    if text.strip() == "all":
        return list(names)
    chosen: list[str] = []
    for part in _parts(text):
        if part in names:
            chosen.append(part)
        elif part[0].isdigit():
            chosen += [names[number] for number in numbers(part, len(names) - 1)]
        else:
            raise SuiteError(
                f"expected names of {', '.join(names)}, or ids 0-{len(names) - 1}, got {part!r}; "
                "name them as listed, or say `all`"
            )
    return list(dict.fromkeys(chosen))


def numbers(text: str, largest: int) -> list[int]:
    """Numbers and inclusive ranges joined by commas, in the order of `text`, each once.

    Raises:
        SuiteError: no such thing, a range that goes down, or a number above `largest`.
    """
    chosen: list[int] = []
    for part in _parts(text):
        first, dash, last = part.partition("-")
        ends = (first, last if dash else first)
        if not all(end.isascii() and end.isdigit() for end in ends):
            raise _no_numbers(part, largest)
        start, stop = map(int, ends)
        if not start <= stop <= largest:
            raise _no_numbers(part, largest)
        chosen += range(start, stop + 1)
    return list(dict.fromkeys(chosen))


def _parts(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise SuiteError(
            f"expected a list such as 0,4 or 0-9, got {text!r}; leave no part of it empty"
        )
    return parts


def _no_numbers(part: str, largest: int) -> SuiteError:
    return SuiteError(
        f"expected numbers or ranges such as 0,4 or 0-9 up to {largest}, got {part!r}; "
        "give the smaller end of a range first"
    )
