"""`takt eval compare A B`: two runs of a suite on the same trials."""

import json as json_format
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from takt.benchmarks.suites.compare import compare
from takt.benchmarks.suites.registry import make_suite
from takt.benchmarks.suites.store import read_run
from takt.benchmarks.suites.summary import SuiteSummary, summarise


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare:
    """Is one player better than the other, trial by trial (McNemar's test)?"""

    ours: Annotated[Path, tyro.conf.Positional]
    """Folder of a run."""
    theirs: Annotated[Path, tyro.conf.Positional]
    """Folder of another one on the same trials."""
    json: bool = False
    """Print one JSON object as the last line."""


def run_compare(command: Compare) -> int:
    """Print it.

    Raises:
        TaktError: a folder holds no run, or they are not of the same trials.
    """
    names = str(command.ours), str(command.theirs)
    comparison = compare(_summary(command.ours), _summary(command.theirs), names)
    if command.json:
        print(json_format.dumps(comparison.to_json()))
    else:
        print(comparison.to_markdown())
    return 0


def _summary(folder: Path) -> SuiteSummary:
    config, played = read_run(folder)
    suite = make_suite(config.suite, config.options)
    return summarise(config.label, suite.groups(), suite.longest_chain, played, config.versions)
