"""What a vision-language set holds, and which of its rows are damaged."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from takt.datasets.vision_language_set import RowError, VisionLanguageSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Counts of rows, of the images and turns in good ones, and of rows by task ("" for none)."""

    rows: int
    images: int
    turns: int
    tasks: Mapping[str, int]
    problems: tuple[RowError, ...]


def inspect(found: VisionLanguageSet, *, decode: bool = False) -> Inspection:
    """Read every row; with `decode` its images, too."""
    images, turns, tasks = 0, 0, Counter[str]()
    problems: list[RowError] = []
    for index in range(len(found)):
        try:
            row = found.row(index)
            if decode:
                _ = found[index]
        except RowError as error:
            problems.append(error)
            continue
        images += len(row.images)
        turns += len(row.turns)
        tasks[row.task] += 1
    return Inspection(
        rows=len(found), images=images, turns=turns, tasks=tasks, problems=tuple(problems)
    )
