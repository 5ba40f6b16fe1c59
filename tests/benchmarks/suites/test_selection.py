"""Lists of tasks and trials as people type them."""

import pytest

from takt.benchmarks.suites.selection import numbers, select
from takt.benchmarks.suites.suite import SuiteError

NAMES = ("reach", "door-open", "2-step")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("all", NAMES),
        ("door-open, reach", ("door-open", "reach")),
        ("1,reach,0", ("door-open", "reach")),
        ("0-2", NAMES),
        ("2-step", ("2-step",)),
    ],
)
def test_tasks_are_named_or_numbered(text: str, meant: tuple[str, ...]) -> None:
    assert tuple(select(text, NAMES)) == meant


def test_ranges_include_both_ends() -> None:
    assert numbers("7,0-3,2", largest=7) == [7, 0, 1, 2, 3]


@pytest.mark.parametrize("text", ["push", "3", "0-3", "2-1", "-1", "", "0,,1", "0-", "²"])
def test_what_is_not_there_is_refused(text: str) -> None:
    with pytest.raises(SuiteError):
        select(text, NAMES)
