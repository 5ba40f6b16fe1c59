"""`takt bench setup`: make the environment in which a suite's simulator lives."""

import json as json_format
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from takt.types import TaktError


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Install a suite's simulator with its own pins, apart from everything else.

    CALVIN and SimplerEnv are not on PyPI: they are built from a checkout that you have.
    """

    suite: Annotated[
        Literal["metaworld", "aloha", "libero", "calvin", "simpler"], tyro.conf.Positional
    ]
    """Which."""
    source: Path | None = None
    """Your checkout; for calvin and simpler only."""
    json: bool = False
    """Print one JSON object as the last line."""


def main(argv: list[str]) -> int:
    """Make it, unless it is there; names what is missing besides."""
    command = tyro.cli(Setup, args=argv, prog="takt bench setup")
    from takt.benchmarks.suites import calvin, simpler
    from takt.benchmarks.suites.environment import add_to_path, make_environment

    missing = _check(command)
    for each in missing:
        print(f"takt bench setup {command.suite}: missing: {each}", file=sys.stderr)
    if command.suite in ("calvin", "simpler"):
        if missing or command.source is None:
            return _tell(command, None, missing)
    elif command.source is not None:
        raise TaktError(f"--source: {command.suite} comes from PyPI; leave it out")
    folder = make_environment(command.suite)
    if command.source is not None:
        of = calvin if command.suite == "calvin" else simpler
        add_to_path(folder, of.source_paths(command.source))
    if command.suite == "simpler" and command.source is not None:
        for each in simpler.limitations(command.source):
            print(f"takt bench setup simpler: not as published: {each}", file=sys.stderr)
    return _tell(command, folder, missing)


def _check(command: Setup) -> list[str]:
    """What must be there before anything is installed."""
    from takt.benchmarks.suites import calvin, simpler

    if command.suite == "calvin":
        return calvin.check_source(command.source)
    if command.suite == "simpler":
        return [*simpler.check_source(command.source), *simpler.missing_prerequisites()]
    return []


def _tell(command: Setup, folder: Path | None, missing: list[str]) -> int:
    if command.json:
        made = None if folder is None else str(folder)
        print(json_format.dumps({"suite": command.suite, "folder": made, "missing": missing}))
    elif folder is not None:
        print(f"the environment of {command.suite} is in {folder}")
    return 0 if folder is not None else 1
