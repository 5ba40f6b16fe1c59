"""A user's own code: made from where it stands, and its failures told by name, line and message."""

import inspect
import os
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from takt.embodiments.reference import load_reference
from takt.types import TaktError

LINES = 3  # of the user's own code, innermost last, where a failure came through
OURS = str(Path(__file__).parents[1])
LIBRARIES = tuple(
    sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")
)


class UserCodeError(TaktError):
    """Code that takt was told to run has failed; the message has its own, and its line."""


def make(reference: str, *arguments: object, **options: object) -> Any:  # noqa: ANN401
    """What the class or function named by `reference` gives; anything else is given as it is.

    Raises:
        TaktError: there is no such thing, it takes other arguments, or its code fails.
    """
    with failures_named(f"running the code of {reference}"):
        found = load_reference(reference)
    if not callable(found):
        return found
    _require_signature(reference, found, arguments, options)
    with failures_named(f"making {reference}"):
        return found(*arguments, **options)


@contextmanager
def failures_named(what: str) -> Iterator[None]:
    """Inside, any exception becomes a `UserCodeError` that says what failed, how and where.

    A `TaktError` stays what it is: it says so itself.
    """
    try:
        yield
    except TaktError:
        raise
    except Exception as error:
        raise UserCodeError(f"{what} failed with {told(error)}") from error


def told(error: BaseException) -> str:
    """Its class, its message and the lines of the user's own code that it came through.

    What follows a line of dashes is left out: there jaxtyping shows all arguments again.
    """
    said = " ".join(str(error).partition("\n-----")[0].split())
    name = type(error).__name__
    lines = ", ".join(_lines(error))
    return f"{name}{': ' if said else ''}{said}{f' ({lines})' if lines else ''}"


def _lines(error: BaseException) -> list[str]:
    """Where the user's code was; if none was there, where the library was that failed."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(("<", OURS))
    ]
    own = [frame for frame in frames if not frame.filename.startswith(LIBRARIES)]
    return [
        f"{_short(frame.filename)}, line {frame.lineno} in {frame.name}"
        for frame in own[-LINES:] or frames[-1:]
    ]


def _short(path: str) -> str:
    here = os.path.relpath(path)
    return path if here.startswith(os.pardir) else here


def _require_signature(
    reference: str,
    found: Callable[..., object],
    arguments: tuple[object, ...],
    options: dict[str, object],
) -> None:
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):  # it is written in C and does not say: calling it will
        return
    try:
        signature.bind(*arguments, **options)
    except TypeError as error:
        given = [*("the spec" for _ in arguments), *options]
        raise UserCodeError(
            f"{reference}{signature} cannot be called with {', '.join(given) or 'no arguments'}: "
            f"{error}; add it there, or take it out here"
        ) from error
