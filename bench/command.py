"""The command line of a benchmark: what is refused is one line, and exit status 2."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import tyro

from takt.types import TaktError

Options = TypeVar("Options")


def run(main: Callable[[Options], int], options: type[Options]) -> int:
    """`main` on what the command line says; its exit status."""
    try:
        return main(tyro.cli(options))
    except TaktError as error:
        print(f"{Path(sys.argv[0]).stem}: {error}", file=sys.stderr)
        return 2


def require_at_least(least: int, **given: int | None) -> None:
    """Raise a `TaktError` that names the first option below `least`; None was not given."""
    for name, number in given.items():
        if number is not None and number < least:
            option = name.replace("_", "-")
            raise TaktError(f"expected --{option} of at least {least}, got {number}; choose more")
