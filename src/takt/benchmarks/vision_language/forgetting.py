"""What training left of the skill: the same questions, asked before and after each stage."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from takt.benchmarks.vision_language.counting import (
    Counting,
    Units,
    by_category,
    chance,
    design,
    groups,
    samples,
    score,
    units,
)
from takt.benchmarks.vision_language.estimates import Estimate, paired_difference
from takt.benchmarks.vision_language.question import RULES, Answered
from takt.benchmarks.vision_language.store import (
    RUN,
    SUMMARY,
    AnswersError,
    Run,
    read_answers,
)
from takt.benchmarks.vision_language.table import BENCHMARKS, benchmark_named


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A checkpoint's answers to some benchmarks: a folder that `takt eval vl --out` filled."""

    name: str
    folder: Path
    runs: dict[str, Run]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A stage against the base: `kept` is its share of the base's skill above chance.

    `kept` takes the base's score as it was measured; None where that is not above chance. Who
    answers worse than blindly, or not at all, kept nothing: it is never below 0.
    """

    score: Estimate
    difference: Estimate
    lost: int
    gained: int
    kept: Estimate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A benchmark, or one of its categories, over the units that every stage answered.

    `changes` has a place for every stage after the base, None where it was not asked. Of a whole
    benchmark, `samples` of its `whole` were asked, and `incomplete` groups left out.
    """

    benchmark: str
    title: str
    chance: float
    base: Estimate
    changes: tuple[Change | None, ...]
    categories: "tuple[Comparison, ...]" = ()
    samples: int = 0
    whole: int = 0
    incomplete: int = 0


def read_stages(folders: Sequence[Path]) -> list[Stage]:
    """Of every folder, named by as much of its path's end as tells it from the others.

    Raises:
        AnswersError: as `read_stage`, or a folder is named twice.
    """
    paths = [folder.resolve() for folder in folders]
    if len(set(paths)) < len(paths):
        raise AnswersError(f"expected folders that differ, got {', '.join(map(str, folders))}")
    names, parts = [path.name for path in paths], 1
    while len(set(names)) < len(names):
        parts += 1
        names = ["/".join(path.parts[-parts:]) for path in paths]
    stages = map(read_stage, folders)
    return [replace(stage, name=name) for stage, name in zip(stages, names, strict=True)]


def read_stage(folder: Path) -> Stage:
    """The finished runs in `folder`.

    Raises:
        AnswersError: there are none, one is not finished, or they are of different checkpoints.
    """
    runs: dict[str, Run] = {}
    for path in sorted(folder.glob(f"*/{RUN}")):
        if not (path.parent / SUMMARY).is_file():
            raise AnswersError(
                f"{path.parent}: expected a finished run, got one without {SUMMARY}; "
                "run its command again"
            )
        run = Run.read(path.parent)
        runs[run.benchmark] = run
    if not runs:
        raise AnswersError(
            f"expected folders of answers in {folder}, found none; "
            f"run `takt eval vl --out {folder}`"
        )
    if len({run.checkpoint_digest for run in runs.values()}) > 1:
        raise AnswersError(
            f"{folder}: expected the answers of one checkpoint, got those of several; "
            "give each its own --out"
        )
    return Stage(name=folder.resolve().name, folder=folder, runs=runs)


def compare(base: Stage, after: Sequence[Stage]) -> list[Comparison]:
    """Every benchmark that the base and at least one other stage answered.

    Raises:
        AnswersError: two stages answered different data, or nothing in common, or were judged by
            earlier rules.
    """
    names = [name for name in BENCHMARKS if name in base.runs]
    shared = [name for name in names if any(name in stage.runs for stage in after)]
    if not shared:
        raise AnswersError(
            f"expected a benchmark that {base.folder} and another stage answered, found none"
        )
    return [_compare_benchmark(name, base, after) for name in shared]


def _compare_benchmark(name: str, base: Stage, after: Sequence[Stage]) -> Comparison:
    benchmark = benchmark_named(name)
    asked = [stage for stage in (base, *after) if name in stage.runs]
    for stage in asked[1:]:
        differing = base.runs[name].differences(stage.runs[name])
        differing = [text for text in differing if not text.startswith("checkpoint")]
        if differing:
            raise AnswersError(
                f"{name}: expected the same questions in {base.folder} and {stage.folder}, got "
                f"{'; '.join(differing)}; ask both again in the same way"
            )
    answers = {id(stage): _read(stage.folder / name) for stage in asked}
    common = set.intersection(*map(set, answers.values()))
    if not common:
        raise AnswersError(f"{name}: expected questions that every stage answered, found none")
    shared = {
        stage: [answer for key, answer in found.items() if key in common]
        for stage, found in answers.items()
    }
    counted = {stage: units(benchmark.counting, found) for stage, found in shared.items()}
    later = [counted.get(id(stage)) for stage in after]
    before = counted[id(base)]
    return replace(
        _compare_units(name, benchmark.title, benchmark.counting, before, later),
        samples=samples(shared[id(base)]),
        whole=benchmark.samples,
        incomplete=len(groups(shared[id(base)])) - len(before),
    )


def _read(folder: Path) -> dict[str, Answered]:
    found = read_answers(folder)
    if any(answer.rules != RULES for answer in found.values()):
        raise AnswersError(
            f"{folder}: expected answers judged by today's rules, got some of others; run the "
            "command that asked them again: it judges the same replies anew, and asks nothing"
        )
    return found


def _compare_units(
    name: str, title: str, counting: Counting, base: Units, after: Sequence[Units | None]
) -> Comparison:
    before = list(base.values())
    floor = chance(counting, before)
    return Comparison(
        benchmark=name,
        title=title,
        chance=floor,
        base=score(counting, before),
        changes=tuple(
            None if found is None else _change(counting, base, found, floor) for found in after
        ),
        categories=tuple(
            _compare_units(name, category, counting, group, after)
            for category, group in by_category(base).items()
        ),
    )


def _change(counting: Counting, base: Units, after: Units, floor: float) -> Change:
    """Over the units of `base`, all of which `after` has."""
    before = list(base.values())
    now = [replace(unit, score=after[key].score) for key, unit in base.items()]
    steps = np.array([later.score - unit.score for unit, later in zip(before, now, strict=True)])
    difference = paired_difference(steps, design(counting, before))
    skill = score(counting, before)
    kept = None
    if skill.lo > floor:
        room = skill.rate - floor
        kept = Estimate(
            n=difference.n,
            rate=max(0.0, 1 + difference.rate / room),
            lo=max(0.0, 1 + difference.lo / room),
            hi=max(0.0, 1 + difference.hi / room),
        )
    return Change(
        score=score(counting, now),
        difference=difference,
        lost=int((steps < 0).sum()),
        gained=int((steps > 0).sum()),
        kept=kept,
    )


def mean_kept(comparisons: Sequence[Comparison], stage: int) -> tuple[float, int] | None:
    """Mean share kept by a stage, and over how many benchmarks; None where none had any skill."""
    changes = [comparison.changes[stage] for comparison in comparisons]
    kept = [change.kept.rate for change in changes if change and change.kept]
    return (sum(kept) / len(kept), len(kept)) if kept else None
