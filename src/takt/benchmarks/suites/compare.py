"""Two players on the same trials: who did better, and is it more than chance?"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from takt.benchmarks.mcnemar import mcnemar
from takt.benchmarks.suites.outcomes import outcomes
from takt.benchmarks.suites.suite import SuiteError, Trial
from takt.benchmarks.suites.summary import SuiteSummary
from takt.benchmarks.vision_language.estimates import Design, Estimate, paired_difference


class DifferentTrialsError(SuiteError):
    """Two runs that did not play the same trials of the same protocol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDifference:
    """Success rates of both on a task; in `won` pairs ours got further, in `lost` theirs."""

    ours: float
    theirs: float
    won: int
    lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What paired trials say.

    Attributes:
        names: Of the players, ours first.
        ours: Figures of one run.
        theirs: Figures of the other.
        n: Pairs; where the repeats of both agree, one for each configuration.
        won: Pairs in which ours got further: succeeded alone, or in more tasks of a chain.
        lost: Pairs in which theirs did.
        p: McNemar's exact two-sided p-value; of chains, that of the sign test, which is the same.
        difference: Mean of ours minus theirs over the pairs: of success, or of tasks in a row.
        tasks: By name.
        versions: "name: ours, theirs" of what was not installed alike.
    """

    names: tuple[str, str]
    ours: SuiteSummary
    theirs: SuiteSummary
    n: int
    won: int
    lost: int
    p: float
    difference: Estimate
    tasks: Mapping[str, TaskDifference]
    versions: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values under stable names."""
        sides = {
            side: {
                "name": name,
                "success": asdict(summary.success),
                "average": asdict(summary.average),
            }
            for side, name, summary in zip(
                ("ours", "theirs"), self.names, (self.ours, self.theirs), strict=True
            )
        }
        return {
            "label": self.ours.label,
            **sides,
            "n": self.n,
            "won": self.won,
            "lost": self.lost,
            "p": self.p,
            "difference": asdict(self.difference),
            "tasks": {name: asdict(task) for name, task in self.tasks.items()},
            "versions": list(self.versions),
        }

    def to_markdown(self) -> str:
        """The verdict, and a table of tasks."""
        ours, theirs = self.names
        lines = [f"# {self.ours.label}", "", self.verdict, ""]
        lines += [line for said in self.versions for line in (f"Not installed alike: {said}", "")]
        lines += [f"| task | {ours} % | {theirs} % | won | lost |", "|---|---|---|---|---|"]
        lines += [
            f"| {name} | {100 * task.ours:.1f} | {100 * task.theirs:.1f} | {task.won} "
            f"| {task.lost} |"
            for name, task in self.tasks.items()
        ]
        return "\n".join([*lines, ""])

    @property
    def verdict(self) -> str:
        """One sentence."""
        found, chains = self.difference, self.ours.chain is not None
        scale, unit = (1, " tasks in a row") if chains else (100, " percentage points")
        digits = 2 if chains else 1
        lo, mid, hi = (f"{scale * x:+.{digits}f}" for x in (found.lo, found.rate, found.hi))
        ours, theirs = self.names
        return (
            f"{ours} against {theirs}: {mid}{unit} (95 % interval {lo} to {hi}) over {self.n} "
            f"pairs; got further in {self.won}, less far in {self.lost}, p = {self.p:.2g}."
        )


def compare(
    ours: SuiteSummary, theirs: SuiteSummary, names: tuple[str, str] = ("ours", "theirs")
) -> Comparison:
    """Pair the trials of two runs.

    Raises:
        DifferentTrialsError: labels, trials, seeds or configurations differ.
    """
    _check(ours, theirs, names)
    # a repeat of what both do alike every time is no further evidence
    once = ours.repeats == theirs.repeats == "agree"
    mine, yours = outcomes(ours.played, once=once), outcomes(theirs.played, once=once)
    pairs = [(task, stages, yours[task, name]) for (task, name), stages in mine.items()]
    won = [stages > other for _, stages, other in pairs]
    lost = [stages < other for _, stages, other in pairs]
    return Comparison(
        names=names,
        ours=ours,
        theirs=theirs,
        n=len(pairs),
        won=sum(won),
        lost=sum(lost),
        p=mcnemar(won, lost),
        difference=_difference([a - b for _, a, b in pairs], ours.longest_chain),
        tasks={
            name: TaskDifference(
                ours=ours.tasks[name].rate,
                theirs=theirs.tasks[name].rate,
                won=sum(a > b for task, a, b in pairs if task == name),
                lost=sum(a < b for task, a, b in pairs if task == name),
            )
            for name in ours.tasks
        },
        versions=_differing(ours.versions, theirs.versions),
    )


def _difference(stages: Sequence[int], longest: int) -> Estimate:
    size = len(stages)
    design = Design(np.full(size, 1 / size), np.zeros(size, dtype=np.int64))
    found = paired_difference(np.array(stages) / longest, design)
    return Estimate(n=size, rate=longest * found.rate, lo=longest * found.lo, hi=longest * found.hi)


def _check(ours: SuiteSummary, theirs: SuiteSummary, names: tuple[str, str]) -> None:
    if ours.label != theirs.label:
        raise DifferentTrialsError(
            f"expected two runs of one protocol, got {ours.label!r} of {names[0]} and "
            f"{theirs.label!r} of {names[1]}; figures of different protocols do not compare"
        )
    mine, yours = ({one.trial for one in run.played} for run in (ours, theirs))
    if mine != yours:
        told = " and ".join(
            f"{len(alone)} only of {name}{_first(alone)}"
            for name, alone in zip(names, (mine - yours, yours - mine), strict=True)
        )
        raise DifferentTrialsError(
            f"expected the same trials in both runs, got {told}; play the same tasks, trials and "
            "seeds with both"
        )


def _first(trials: set[Trial]) -> str:
    if not trials:
        return ""
    first = min(trials, key=lambda trial: trial.key)
    return f" (such as {first.key}, seed {first.seed}, configuration {first.configuration})"


def _differing(ours: Mapping[str, str], theirs: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(
        f"{name}: {ours.get(name, 'none')}, {theirs.get(name, 'none')}"
        for name in {**ours, **theirs}
        if ours.get(name) != theirs.get(name)
    )
