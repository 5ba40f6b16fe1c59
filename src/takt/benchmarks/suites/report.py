"""`report.html` of a run of a public suite: one self-contained page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from takt.benchmarks.charts import rect, svg
from takt.benchmarks.page import card, page
from takt.benchmarks.suites.compare import Comparison
from takt.benchmarks.suites.outcomes import stages_of
from takt.benchmarks.suites.rates import Rate
from takt.benchmarks.suites.suite import Played
from takt.benchmarks.suites.summary import MANY, SuiteSummary, cause
from takt.benchmarks.wilson import Proportion

WIDE, NARROW = 360, 200  # of the bars, in pixels
BREAKS = 'style="overflow-wrap:anywhere"'  # names of tasks are long words
INTERVAL = "Point: measured. Band: 95 % interval. From 0 to 100 %."


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportHeader:
    """What the figures do not say of themselves.

    Attributes:
        player: Who played: a policy, an expert, ...
        strategy: How its plans follow each other.
        latency_ms: Injected inference delay.
        notes: See `Suite.notes`.
        command: That repeats the run.
    """

    player: str
    strategy: str
    latency_ms: float = 0.0
    notes: Sequence[str] = ()
    command: str = ""


def build_report(
    header: ReportHeader,
    summary: SuiteSummary,
    videos: Mapping[str, str] | None = None,
    comparison: Comparison | None = None,
) -> str:
    """The whole page; `videos` are addresses by the key of their trial."""
    sections = [
        _hero(summary),
        _beside(summary),
        _tiles(summary),
        _tasks(summary),
        _comparison(comparison) if comparison else "",
        _videos(summary, videos or {}),
        _failures(summary),
        _errors(summary),
        _run(header, summary),
    ]
    return page(f"takt eval · {summary.label}", _header(header, summary), sections, "")


def _header(header: ReportHeader, summary: SuiteSummary) -> str:
    delay = f"{header.latency_ms:g} ms injected" if header.latency_ms else "no injected delay"
    notes = "".join(f'<p class="sub">{escape(note)}</p>' for note in header.notes)
    return (
        '<header><div><div class="brand">takt · public benchmark</div>'
        f"<h1>{escape(summary.label)}</h1>{notes}</div>"
        f'<p class="sub">played by <b>{escape(header.player)}</b> · {escape(header.strategy)} · '
        f"{delay}</p></header>"
    )


def _hero(summary: SuiteSummary) -> str:
    rate = summary.average
    if summary.chain is not None:
        found = summary.chain.mean_length
        title = "Mean tasks in a row"
        figure = f"{found.rate:.3f}<small> of {summary.longest_chain}</small>"
        interval = f"{found.lo:.2f}–{found.hi:.2f}"
        said = f"<b>{summary.success.n}</b> chains"
    else:
        title = ", ".join(filter(None, ["Success", summary.mean_of]))
        figure = f"{100 * rate.rate:.1f}<small> %</small>"
        interval = f"{100 * rate.lo:.1f}–{100 * rate.hi:.1f}&nbsp;%"
        said = f"<b>{rate.k} of {rate.n}</b> trials"
    if summary.repeats != "none":
        said += f", {summary.success.distinct} distinct"
    remarks = "".join(f'<p class="note">{escape(remark)}</p>' for remark in summary.remarks)
    return (
        f'<section class="card hero"><h2>{escape(title)}</h2><div class="figure">{figure}</div>'
        f'<p class="sub">95 % interval {interval}</p><p class="sub">{said}</p>{remarks}</section>'
    )


def _beside(summary: SuiteSummary) -> str:
    """What the headline is made of."""
    if summary.chain is not None:
        links = {f"{n} in a row": rate for n, rate in enumerate(summary.chain.in_a_row, 1)}
        return card("Chains", INTERVAL, _bars(links, NARROW), "rates")
    rows = {**_parts(summary), "all trials": summary.success}
    return card("Parts", INTERVAL, _bars(rows, NARROW), "rates")


def _parts(summary: SuiteSummary) -> dict[str, Rate]:
    """What the average is the mean of, if few enough to stand beside it."""
    if len(summary.parts) > MANY:
        return {}
    rates = {**summary.tasks, **summary.groups}
    return {name: rates[name] for name in summary.parts}


def _tasks(summary: SuiteSummary) -> str:
    """Those that do not all stand beside the headline."""
    if set(summary.tasks) <= set(_parts(summary)):
        return ""
    return card("Tasks", INTERVAL, _bars(summary.tasks, WIDE))


def _bars(rows: Mapping[str, Rate | Proportion], width: int) -> str:
    body = "".join(
        f"<tr><td {BREAKS}>{escape(name)}</td>"
        f"<td>{_bar(name, rate, width)}</td><td><b>{100 * rate.rate:.1f}&nbsp;%</b></td>"
        f'<td style="white-space:nowrap">{100 * rate.lo:.1f}–{100 * rate.hi:.1f}</td>'
        f"<td>{rate.k}&nbsp;of&nbsp;{rate.n}</td></tr>"
        for name, rate in rows.items()
    )
    heads = "<th></th><th></th><th>success</th><th>95&nbsp;%</th><th></th>"
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _bar(name: str, rate: Rate | Proportion, width: int) -> str:
    def x(share: float) -> float:
        return 8 + share * (width - 16)

    told = f"{name}: {rate.k} of {rate.n}, 95 % interval {rate.lo:.3f} to {rate.hi:.3f}"
    body = [
        rect(x(0), 10, x(1) - x(0), 2, "plan-1"),
        rect(x(rate.lo), 5, x(rate.hi) - x(rate.lo), 12, "interval", told),
        f'<circle cx="{x(rate.rate):.1f}" cy="11" r="5" class="point"/>',
    ]
    return f'<div style="width:{width}px;margin-left:auto">{svg(width, 22, body, told)}</div>'


def _tiles(summary: SuiteSummary) -> str:
    played = summary.played
    cpu_min = sum(one.cpu_s for one in played) / 60
    speed = f"{len(played) / cpu_min:.1f}" if cpu_min else "–"
    tiles = [
        (f"{len(played)}", "trials"),
        (f"{len(summary.failures)}", "failures"),
        (f"{len(summary.errors)}", "of them could not be played"),
        (f"{sum(one.attempts > 1 for one in played)}", "played again after a crash"),
        (f"{sum(one.stalls for one in played)}", "steps without an action due"),
        (speed, "episodes per CPU minute of the simulator"),
    ]
    cells = [f'<div class="tile"><b>{n}</b><span>{said}</span></div>' for n, said in tiles]
    return f'<div class="tiles">{"".join(cells)}</div>'


def _comparison(found: Comparison) -> str:
    heads = "".join(f"<th>{escape(name)}</th>" for name in ("", *found.names, "won", "lost"))
    body = "".join(
        f"<tr><td {BREAKS}>{escape(name)}</td><td>{100 * task.ours:.1f} %</td>"
        f"<td>{100 * task.theirs:.1f} %</td><td>{task.won}</td><td>{task.lost}</td></tr>"
        for name, task in found.tasks.items()
    )
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
    unlike = "".join(
        f'<p class="note">Not installed alike: {escape(one)}</p>' for one in found.versions
    )
    return card("Side by side, on the same trials", found.verdict, unlike + table)


def _videos(summary: SuiteSummary, videos: Mapping[str, str]) -> str:
    figures = "".join(
        f'<figure><video controls muted loop playsinline src="{escape(videos[one.trial.key])}">'
        f"</video><figcaption {BREAKS}><b>{escape(one.trial.task)}</b>: seed {one.trial.seed}, "
        f"{_outcome(one, summary)}</figcaption></figure>"
        for one in summary.played
        if one.trial.key in videos
    )
    return card("On camera", "", f'<div class="pair">{figures}</div>') if figures else ""


def _failures(summary: SuiteSummary) -> str:
    by_task: dict[str, list[Played]] = {}
    for one in summary.failures:
        if one.error is None:
            by_task.setdefault(one.trial.task, []).append(one)
    rows = "".join(
        f"<details {BREAKS}><summary>{escape(task)}: {len(failed)}</summary><p>"
        + "; ".join(
            f"trial {one.trial.index} (seed {one.trial.seed}"
            + (f", {_outcome(one, summary)})" if summary.chain else ")")
            for one in failed
        )
        + "</p></details>"
        for task, failed in by_task.items()
    )
    return card("Failures", "Played to the end, without success.", rows) if rows else ""


def _errors(summary: SuiteSummary) -> str:
    rows = "".join(
        f"<details {BREAKS}><summary>{escape(one.trial.key)}, seed {one.trial.seed}, "
        f"tried {one.attempts}×: {escape(cause(one))}</summary>"
        f'<pre style="overflow:auto"><code>{escape(one.error or "")}</code></pre></details>'
        for one in summary.errors
    )
    return card("Could not be played", "Counted as failures.", rows) if rows else ""


def _outcome(played: Played, summary: SuiteSummary) -> str:
    if summary.chain is not None:
        return f"{stages_of(played)} of {summary.longest_chain} in a row"
    return "success" if stages_of(played) == summary.longest_chain else "failure"


def _run(header: ReportHeader, summary: SuiteSummary) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td><code>{escape(version)}</code></td></tr>"
        for name, version in summary.versions.items()
    )
    command = f"<p><code>{escape(header.command)}</code></p>" if header.command else ""
    return card("Run it again", "In these versions.", f"{command}<table>{rows}</table>")
