"""`takt eval forgetting`: the same benchmarks before and after each stage of a training."""

import json as json_format
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from takt.extras import require_extra

if TYPE_CHECKING:
    from takt.benchmarks.vision_language.forgetting import Comparison, Stage

NO_SKILL = "nothing to keep: the base's 95 % interval reaches down to chance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgetting:
    """Compare checkpoints on the questions that all of them answered; write a report."""

    stages: Positional[tuple[Path, ...]]
    """Folders that `takt eval vl --out` filled: first the base, then one for each stage."""
    out: Path = Path("out/forgetting")
    """Folder of forgetting.html and forgetting.json."""
    json: bool = False
    """Print one JSON object as the last line."""


def run_forgetting(command: Forgetting) -> int:
    """Compare, write and print."""
    require_extra("data", "takt eval forgetting")
    from takt.benchmarks.vision_language.forgetting import compare, read_stages
    from takt.benchmarks.vision_language.forgetting_page import build_page
    from takt.datasets.atomic import write_atomically
    from takt.types import TaktError

    if len(command.stages) < 2:
        raise TaktError(
            f"expected the base and at least one stage, got {len(command.stages)} folders"
        )
    base, *after = read_stages(command.stages)
    comparisons = compare(base, after)
    found = {
        "stages": [stage.name for stage in (base, *after)],
        "comparisons": [asdict(comparison) for comparison in comparisons],
    }
    page = build_page(base, after, comparisons)
    write_atomically(command.out / "forgetting.html", page.encode())
    content = json_format.dumps(found, indent=2)
    write_atomically(command.out / "forgetting.json", content.encode())
    if command.json:
        print(json_format.dumps(found))
    else:
        _print(base, after, comparisons)
        print(f"report: {command.out / 'forgetting.html'}")
    return 0


def _print(base: "Stage", after: "list[Stage]", comparisons: "list[Comparison]") -> None:
    for found in comparisons:
        print(f"{found.title}: {base.name} {100 * found.base.rate:.1f} % of {found.base.n}")
        if found.samples < found.whole:
            print(f"  {found.samples} of {found.whole} samples")
        if found.incomplete:
            print(f"  {found.incomplete} incomplete groups left out")
        for stage, change in zip(after, found.changes, strict=True):
            if change is None:
                continue
            step = change.difference
            kept = f"kept {100 * change.kept.rate:.0f} %" if change.kept else NO_SKILL
            print(
                f"  {stage.name} {100 * change.score.rate:.1f} %, {100 * step.rate:+.1f} "
                f"(95 % {100 * step.lo:+.1f} to {100 * step.hi:+.1f}), {kept}"
            )
