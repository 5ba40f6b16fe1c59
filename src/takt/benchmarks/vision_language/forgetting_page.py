"""`forgetting.html`: what each stage of training left of the base's skill."""

from collections.abc import Callable, Sequence
from html import escape

from takt.benchmarks.charts import FULL, line, rect, svg, text
from takt.benchmarks.page import card, page
from takt.benchmarks.vision_language.estimates import Estimate
from takt.benchmarks.vision_language.forgetting import Change, Comparison, Stage, mean_kept

DEFINITIONS = """
<p><b>Score</b>: the benchmark's own figure. MMBench: questions answered rightly in every order of
their options. MME: points over 2800. TextVQA: VQA accuracy. ChartQA: relaxed accuracy. The rest:
share of right answers.</p>
<p><b>Chance</b>: what a blind answer scores on average: a random letter, a coin for yes and no,
nothing for open answers; a random colour of those on the blocks table.</p>
<p><b>Difference</b>: score after minus score of the base, on the same questions; 95 % interval for
paired data of Agresti and Min (2005). Lost and gained: units that scored less, or more. POPE's
score weighs a question by the categories it is in; n, lost, gained and intervals count it once.</p>
<p><b>Kept</b>: (score − chance) over (base − chance), the base as measured, at least 0; – where the
base's 95 % interval reaches down to chance.</p>
"""


def build_page(base: Stage, after: Sequence[Stage], comparisons: Sequence[Comparison]) -> str:
    """The whole page."""
    sections = [
        _hero(after, comparisons),
        _stages(after, comparisons),
        _kept_chart(after, comparisons),
        _table(base, after, comparisons),
        _categories(base, after, comparisons),
        _runs(base, after),
    ]
    title = f"What {after[-1].name} kept of {base.name}"
    asked = f"{_benchmarks(len(comparisons))} · {len(after) + 1} checkpoints"
    header = (
        '<header><div><div class="brand">takt · vision and language</div>'
        f"<h1>{escape(title)}</h1></div>"
        f'<p class="sub">{asked}</p></header>'
    )
    footer = "<footer>The same questions were asked of every checkpoint, greedily.</footer>"
    return page(title, header, sections, footer)


def _hero(after: Sequence[Stage], comparisons: Sequence[Comparison]) -> str:
    found = mean_kept(comparisons, len(after) - 1)
    figure = "–" if found is None else f"{100 * found[0]:.0f}<small> %</small>"
    over = "no benchmark" if found is None else f"mean of {_benchmarks(found[1])}"
    return (
        '<section class="card hero"><h2>Skill above chance that is left</h2>'
        f'<div class="figure">{figure}</div>'
        f'<p class="sub">after <b>{escape(after[-1].name)}</b>, {over}</p></section>'
    )


def _stages(after: Sequence[Stage], comparisons: Sequence[Comparison]) -> str:
    rows = ""
    for number, stage in enumerate(after):
        found = mean_kept(comparisons, number)
        changes = [comparison.changes[number] for comparison in comparisons]
        lost = sum(change.lost for change in changes if change)
        gained = sum(change.gained for change in changes if change)
        mean, over = ("–", "–") if found is None else (f"{100 * found[0]:.0f} %", str(found[1]))
        rows += (
            f"<tr><td>{escape(stage.name)}</td><td><b>{mean}</b></td><td>{over}</td>"
            f"<td>{lost}</td><td>{gained}</td></tr>"
        )
    heads = "".join(
        f"<th>{name}</th>" for name in ("", "mean kept", "benchmarks", "answers lost", "gained")
    )
    body = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    return card(
        "Stage by stage", "Every stage against the base, not the stage before.", body, "rates"
    )


def _benchmarks(count: int) -> str:
    return f"{count} benchmark{'s' if count != 1 else ''}"


def _kept_chart(after: Sequence[Stage], comparisons: Sequence[Comparison]) -> str:
    row, left, right = 26, 300, FULL - 70
    rows = [
        (found.title if not number else "", stage.name, change)
        for found in comparisons
        for number, (stage, change) in enumerate(zip(after, found.changes, strict=True))
    ]
    kept = [change.kept for _, _, change in rows if change and change.kept]
    high = max([1.2, *(min(found.hi, 2.0) for found in kept)])

    def x(share: float) -> float:
        return left + min(share, high) / high * (right - left)

    bottom = row * len(rows) + 6
    body = []
    for percent in range(0, int(100 * high) + 1, 25):
        body.append(line(x(percent / 100), 0, x(percent / 100), bottom, "grid"))
        body.append(text(x(percent / 100), bottom + 16, f"{percent} %", "tick", "middle"))
    body.append(line(x(1), 0, x(1), bottom, "reference"))
    for number, (title, stage, change) in enumerate(rows):
        y = row * (number + 0.5) + 2
        body.append(text(0, y + 4, title, "label"))
        body.append(text(150, y + 4, stage, "tick"))
        body += _kept_marks(change, y, x)
    note = (
        "Point: share of the base's skill above chance. Band: 95 % interval. Amber line: the base."
    )
    drawing = svg(FULL, bottom + 24, body, "share of skill above chance that each stage kept")
    return card("Kept by benchmark", note, drawing)


def _kept_marks(change: Change | None, y: float, x: Callable[[float], float]) -> list[str]:
    if change is None or change.kept is None:
        said = "not asked" if change is None else "the base is not above chance"
        return [text(x(0) + 8, y + 4, said, "tick")]
    kept = change.kept
    tip = f"{100 * kept.rate:.1f} % kept, 95 % interval {100 * kept.lo:.1f} to {100 * kept.hi:.1f}"
    return [
        rect(x(kept.lo), y - 6, x(kept.hi) - x(kept.lo), 12, "interval", tip),
        f'<circle cx="{x(kept.rate):.1f}" cy="{y:.1f}" r="5" class="point"/>',
        text(FULL, y + 4, f"{100 * kept.rate:.0f} %", "label", "end"),
    ]


def _table(base: Stage, after: Sequence[Stage], comparisons: Sequence[Comparison]) -> str:
    note = "Score in percent with its 95 % interval; below it the difference from the base."
    return card("Before and after", note, _rows(base, after, comparisons))


def _categories(base: Stage, after: Sequence[Stage], comparisons: Sequence[Comparison]) -> str:
    body = "".join(
        f"<details><summary>{escape(found.title)}: {len(found.categories)} categories</summary>"
        f"{_rows(base, after, found.categories)}</details>"
        for found in comparisons
        if found.categories
    )
    return card("By category", "", body) if body else ""


def _rows(base: Stage, after: Sequence[Stage], comparisons: Sequence[Comparison]) -> str:
    heads = "".join(
        f"<th>{escape(name)}</th>"
        for name in ("n", "chance", base.name, *(stage.name for stage in after))
    )
    rows = "".join(
        f"<tr><td>{escape(found.title)}</td><td>{_count(found)}</td>"
        f"<td>{100 * found.chance:.1f}</td><td>{_percent(found.base)}</td>"
        f"{''.join(f'<td>{_cell(change)}</td>' for change in found.changes)}</tr>"
        for found in comparisons
    )
    return f"<table><thead><tr><th></th>{heads}</tr></thead><tbody>{rows}</tbody></table>"


def _count(found: Comparison) -> str:
    asked = f"<br><small>{found.samples} of {found.whole} samples</small>"
    lost = f"<br><small>{found.incomplete} incomplete groups left out</small>"
    return (
        f"{found.base.n}{asked if found.samples < found.whole else ''}"
        f"{lost if found.incomplete else ''}"
    )


def _percent(found: Estimate) -> str:
    return f"<b>{100 * found.rate:.1f}</b> ({100 * found.lo:.1f}–{100 * found.hi:.1f})"


def _cell(change: Change | None) -> str:
    if change is None:
        return "–"
    step = change.difference
    colour = "bad" if step.hi < 0 else "good" if step.lo > 0 else "soft"
    kept = "–" if change.kept is None else f"{100 * change.kept.rate:.0f} %"
    return (
        f'{_percent(change.score)}<br><span style="color:var(--{colour})">'
        f"{100 * step.rate:+.1f} ({100 * step.lo:+.1f} to {100 * step.hi:+.1f})</span><br>"
        f"<small>kept {kept} · lost {change.lost}, gained {change.gained}</small>"
    )


def _runs(base: Stage, after: Sequence[Stage]) -> str:
    rows = "".join(
        f"<tr><td>{escape(stage.name)}</td><td><code>{escape(name)}</code></td>"
        f"<td><code>{escape(run.policy)} {run.checkpoint_digest}</code></td>"
        f"<td><code>{escape(run.data or 'drawn')} {run.data_digest}</code></td></tr>"
        for stage in (base, *after)
        for name, run in stage.runs.items()
    )
    body = (
        "<details><summary>checkpoints and data</summary><table><thead><tr><th>stage</th>"
        "<th>benchmark</th><th>checkpoint</th><th>data</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></details>"
        f"<details><summary>definitions</summary>{DEFINITIONS}</details>"
    )
    return card("What was asked of whom", "Digests are of bytes.", body)
