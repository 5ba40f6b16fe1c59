"""The ablation's table: each variant beside the full recipe."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from typing import Any

from takt.benchmarks.mcnemar import mcnemar
from takt.benchmarks.motion import Motion
from takt.benchmarks.wilson import Proportion, wilson
from takt.recipes.ablation_run import Run

CAVEATS = (
    "p takes scenes as independent; trainings differ too, so look at the seeds first",
    "p is not corrected for five comparisons: by luck alone every fourth or fifth table has one "
    "below .05",
    "the same budget is as many frames and optimiser steps: re-weighting adds rollouts, the stages "
    "cost differently, so core-min differ",
    "at --scale 1 the expert stage is 100 steps, all of them warm-up",
    "no-choice weighs its conversations more: as many in all, but a sixth of a batch's mean in 1.7 "
    "times as many batches",
    "no-choice also lacks the choice stage's queries for image points, and has one warm-up and "
    "annealing for three",
)
"""What the numbers do not show, printed below them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """All runs of a variant.

    Attributes:
        installed: Pooled over the runs; its interval does not know how much trainings differ.
        by_seed: Installed scenes of each run.
        p: McNemar's test against the full recipe, scene by scene and training seed by training
            seed; None for the full recipe itself, or without it. It takes scenes as independent,
            and all scenes of one training share its luck: look at `by_seed` first.
        core_min: Mean processor time of a training.
        outcomes: How often each way to fail came.
    """

    variant: str
    installed: Proportion
    by_seed: tuple[int, ...]
    p: float | None
    seam_ratio: float | None
    jerk_rms: float | None
    core_min: float
    outcomes: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Stable names."""
        return asdict(self)


def table(runs: Sequence[Run]) -> list[Cell]:
    """One cell for each variant, in the order of `runs`."""
    named: dict[str, list[Run]] = {}
    for run in runs:
        named.setdefault(run.variant, []).append(run)
    reference = _successes(named["full"]) if "full" in named else None
    return [_cell(variant, each, reference) for variant, each in named.items()]


def show(cells: Sequence[Cell]) -> str:
    """The table as text."""
    head = f"{'left out':<20} {'installed':<28} {'by seed':<14} {'p':>6}  seam  jerk  core-min"
    lines = [head]
    for cell in cells:
        rate, p = cell.installed, "" if cell.p is None else f"{cell.p:.3f}"
        interval = f"({100 * rate.lo:.1f}-{100 * rate.hi:.1f})"
        shown = f"{rate.k}/{rate.n} = {100 * rate.rate:.1f} % {interval}"
        seeds = " ".join(map(str, cell.by_seed))
        seam, jerk = (_digits(cell.seam_ratio, 2), _digits(cell.jerk_rms, 0))
        lines.append(
            f"{cell.variant:<20} {shown:<28} {seeds:<14} {p:>6} {seam:>5} {jerk:>5} "
            f"{cell.core_min:9.1f}"
        )
    return "\n".join([*lines, *(f"- {caveat}" for caveat in CAVEATS)])


def _cell(variant: str, runs: Sequence[Run], reference: list[bool] | None) -> Cell:
    results = [run.results() for run in runs]
    flat = [result for each in results for result in each]
    successes, motion = _successes(runs), reduce(add, (r.motion for r in flat), Motion())
    failures = [result.outcome for result in flat if not result.installed]
    return Cell(
        variant=variant,
        installed=wilson(sum(successes), len(successes)),
        by_seed=tuple(sum(result.installed for result in each) for each in results),
        p=None if reference is None or variant == "full" else mcnemar(reference, successes),
        seam_ratio=motion.seam_ratio,
        jerk_rms=motion.jerk_rms,
        core_min=sum(run.core_s() for run in runs) / len(runs) / 60,
        outcomes={name: failures.count(name) for name in sorted(set(failures))},
    )


def _successes(runs: Sequence[Run]) -> list[bool]:
    return [result.installed for run in runs for result in run.results()]


def _digits(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
