"""What the played trials of a suite come to, as JSON and as Markdown.

A suite publishes the mean of its parts: a part is a group, which counts as the mean of its tasks,
or a task in no group. So LIBERO is the mean of four suites, MetaWorld of four tiers, SimplerEnv's
Google robot of coke, move, drawer (open and close) and put.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from takt.benchmarks.suites.outcomes import Repeats, outcomes, repeats_of, stages_of
from takt.benchmarks.suites.rates import Chain, Rate, Tally, chain, mean_of, pooled
from takt.benchmarks.suites.suite import Played, SuiteError
from takt.benchmarks.wilson import Proportion

MANY = 6  # parts that are counted rather than named


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteSummary:
    """The figures of a run.

    Attributes:
        label: Of the suite's protocol.
        versions: Of what determines the result.
        played: Every trial.
        longest_chain: See `Suite.longest_chain`.
        repeats: Whether repeats of a configuration agreed.
        success: All trials alike.
        average: As the suite publishes it: the mean of `parts`.
        parts: Names of groups and of tasks in no group.
        tasks: By name.
        groups: By name: the mean of the tasks that were played.
        missing: Tasks of groups that were not played.
        chain: Of a suite of chains.
    """

    label: str
    versions: Mapping[str, str]
    played: Sequence[Played]
    longest_chain: int
    repeats: Repeats
    success: Rate
    average: Rate
    parts: tuple[str, ...]
    tasks: Mapping[str, Rate]
    groups: Mapping[str, Rate]
    missing: tuple[str, ...]
    chain: Chain | None

    @property
    def failures(self) -> list[Played]:
        """Trials that did not succeed, those that could not be played included."""
        return [one for one in self.played if stages_of(one) < self.longest_chain]

    @property
    def errors(self) -> list[Played]:
        """Trials that could not be played."""
        return [one for one in self.played if one.error is not None]

    @property
    def remarks(self) -> list[str]:
        """What a reader of the figures must know about how they were counted."""
        found, trials, distinct = [], self.success.n, self.success.distinct
        if self.repeats == "agree":
            found.append(
                f"The {trials} trials are {distinct} distinct configurations, whose repeats all "
                f"ended alike: intervals are those of n = {distinct}."
            )
        if self.repeats == "disagree":
            found.append(
                f"The {trials} trials are {distinct} distinct configurations, whose repeats ended "
                f"differently: intervals are those of n = {trials}."
            )
        if self.missing:
            found.append(
                f"Averages are over a part of the suite: {len(self.missing)} of its tasks were "
                "not played."
            )
        if self.errors:
            found.append(
                f"Could not be played, and so counted as failures: {len(self.errors)} of {trials}."
            )
        return found

    @property
    def mean_of(self) -> str:
        """What `average` is the mean of, in words; "" if of one task."""
        if len(self.parts) == 1:
            only = self.parts[0]
            return f"mean of {only}" if only in self.groups else ""
        kind = "groups" if self.groups else "tasks"
        many = len(self.parts) > MANY
        return f"mean of {len(self.parts)} {kind}" if many else f"mean of {', '.join(self.parts)}"

    def to_json(self) -> dict[str, Any]:
        """Plain values under stable names."""
        cpu_s = sum(one.cpu_s for one in self.played)
        return {
            "label": self.label,
            "versions": dict(self.versions),
            "success": asdict(self.success),
            "average": {**asdict(self.average), "of": list(self.parts)},
            "chain": None if self.chain is None else asdict(self.chain),
            "distinct": self.success.distinct,
            "repeats": self.repeats,
            "remarks": self.remarks,
            "tasks": {name: asdict(rate) for name, rate in self.tasks.items()},
            "groups": {name: asdict(rate) for name, rate in self.groups.items()},
            "missing": list(self.missing),
            "failures": [_listed(one) for one in self.failures],
            "errors": [{**_listed(one), "error": one.error} for one in self.errors],
            "retried": sum(one.attempts > 1 for one in self.played),
            "steps": sum(one.steps for one in self.played),
            "stalls": sum(one.stalls for one in self.played),
            "cpu_s": cpu_s,
            "episodes_per_cpu_minute": 60 * len(self.played) / cpu_s if cpu_s else None,
        }

    def to_markdown(self) -> str:
        """The headline, a table of groups and tasks, and what could not be played."""
        lines = [f"# {self.label}", "", self._headline(), ""]
        if self.chain is not None:
            rows = [(str(count), rate) for count, rate in enumerate(self.chain.in_a_row, 1)]
            lines += [*_table("in a row", rows), ""]
        lines += [line for remark in self.remarks for line in (remark, "")]
        rows = [*self.groups.items(), *self.tasks.items(), ("all trials", self.success)]
        lines += _table("task", rows)
        if self.errors:
            lines += ["", "Could not be played:", ""]
            lines += [
                f"- {one.trial.key}, seed {one.trial.seed}: {cause(one)}" for one in self.errors
            ]
        return "\n".join([*lines, ""])

    def _headline(self) -> str:
        if self.chain is not None:
            found = self.chain.mean_length
            interval = f"({found.lo:.2f}–{found.hi:.2f})"
            return f"**{found.rate:.3f}** {interval} tasks in a row, {self.success.n} chains"
        rate = self.average
        said = f"**{100 * rate.rate:.1f} %** ({100 * rate.lo:.1f}–{100 * rate.hi:.1f})"
        return ", ".join(filter(None, [said, self.mean_of, f"{rate.k} of {rate.n} trials"]))


def summarise(
    label: str,
    groups: Mapping[str, Sequence[str]],
    longest_chain: int,
    played: Sequence[Played],
    versions: Mapping[str, str] | None = None,
) -> SuiteSummary:
    """The figures of `played`, which may be a part of the suite.

    Raises:
        SuiteError: nothing was played, a trial is there twice, or a task is in two groups.
    """
    grouped = [task for tasks in groups.values() for task in tasks]
    _check(grouped, played)
    repeats = repeats_of(played)
    counted = outcomes(played, once=repeats == "agree")
    tallies = {
        task: _tally(task, played, counted, longest_chain)
        for task in dict.fromkeys(one.trial.task for one in played)
    }
    present = {name: [task for task in tasks if task in tallies] for name, tasks in groups.items()}
    present = {name: tasks for name, tasks in present.items() if tasks}
    parts = {**present, **{task: [task] for task in tallies if task not in grouped}}
    return SuiteSummary(
        label=label,
        versions=versions or {},
        played=played,
        longest_chain=longest_chain,
        repeats=repeats,
        success=pooled(list(tallies.values())),
        average=mean_of(list(parts.values()), tallies),
        parts=tuple(parts),
        tasks={name: pooled([tally]) for name, tally in tallies.items()},
        groups={name: mean_of([tasks], tallies) for name, tasks in present.items()},
        missing=tuple(task for task in grouped if task not in tallies),
        chain=chain(list(counted.values()), longest_chain) if longest_chain > 1 else None,
    )


def cause(played: Played) -> str:
    """The last line of its error: of a traceback, the exception."""
    return (played.error or "").strip().rpartition("\n")[2]


def _tally(
    task: str, played: Sequence[Played], counted: Mapping[tuple[str, str], int], longest: int
) -> Tally:
    mine = [one for one in played if one.trial.task == task]
    return Tally(
        successes=[stages_of(one) == longest for one in mine],
        counted=[stages == longest for (name, _), stages in counted.items() if name == task],
        distinct=len({one.trial.configuration for one in mine}),
    )


def _check(grouped: Sequence[str], played: Sequence[Played]) -> None:
    if not played:
        raise SuiteError("expected played trials, got none; play some first")
    for what, names in (
        ("every task in one group", grouped),
        ("every trial once", [one.trial.key for one in played]),
    ):
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise SuiteError(f"expected {what}, got {', '.join(twice)} more often; keep one")


def _listed(played: Played) -> dict[str, Any]:
    trial = played.trial
    return {
        "trial": trial.key,
        "task": trial.task,
        "index": trial.index,
        "seed": trial.seed,
        "stages": stages_of(played),
    }


def _table(of: str, rows: Sequence[tuple[str, Rate | Proportion]]) -> list[str]:
    return [
        f"| {of} | % | 95 % interval | successes |",
        "|---|---|---|---|",
        *(
            f"| {name} | {100 * rate.rate:.1f} | {100 * rate.lo:.1f}–{100 * rate.hi:.1f} "
            f"| {rate.k} of {rate.n} |"
            for name, rate in rows
        ),
    ]
