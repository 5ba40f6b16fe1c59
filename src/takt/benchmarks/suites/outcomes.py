"""What counts of played trials, and whether repeats of a configuration add anything."""

from collections.abc import Sequence
from typing import Literal

from takt.benchmarks.suites.suite import Played

Repeats = Literal["none", "agree", "disagree"]
"""Whether trials of one configuration had the same outcome: then the player is deterministic."""


def stages_of(played: Played) -> int:
    """Successes in a row; what could not be played is a failure from the start."""
    return played.stages if played.error is None else 0


def repeats_of(played: Sequence[Played]) -> Repeats:
    """See `Repeats`; a trial that could not be played says nothing about the player."""
    found: dict[tuple[str, str], list[Played]] = {}
    for one in played:
        found.setdefault((one.trial.task, one.trial.configuration), []).append(one)
    if len(found) == len(played):
        return "none"
    stages = [{one.stages for one in same if one.error is None} for same in found.values()]
    return "agree" if all(len(seen) <= 1 for seen in stages) else "disagree"


def outcomes(played: Sequence[Played], *, once: bool) -> dict[tuple[str, str], int]:
    """Stages by task and trial; with `once`, by task and configuration, the least of its repeats.

    The least, since a repeat that could not be played counts as a failure.
    """
    found: dict[tuple[str, str], int] = {}
    for one in played:
        trial, stages = one.trial, stages_of(one)
        name = (trial.task, trial.configuration if once else trial.key)
        found[name] = min(stages, found.get(name, stages))
    return found
