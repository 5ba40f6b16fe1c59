"""`report.html` of the delay benchmark: every measure over the delay, and a table."""

from collections.abc import Callable, Sequence
from html import escape

from takt.benchmarks.charts import HALF
from takt.benchmarks.curves import Curve, curves
from takt.benchmarks.delay_strategies import STRATEGIES, Strategy, chunking
from takt.benchmarks.delay_summary import Row, best
from takt.benchmarks.page import card, page
from takt.runtime.chunking import NAMES

TITLES = {name: NAMES[type(chunking(name, 0, jitter=False))] for name in STRATEGIES}
_PLOTS: tuple[tuple[str, str, Callable[[Row], float | None]], ...] = (
    ("Success", "Share of episodes that succeeded.", lambda row: row.success.rate),
    ("On target", "Mean share of the time on which the target can be followed, sides alike.",
     lambda row: row.on_target),
    ("Seams", "Mean one-tick change of the command from plan to plan, share of its range.",
     lambda row: row.seam),
    ("Jerk", "RMS third difference of the commands, rad/s³.", lambda row: row.jerk),
    ("Reaction",
     "Median ticks from a reversal's first frame to the first action that may know of it.",
     lambda row: row.reaction),
    ("Prefix copying",
     "How far late actions follow a prefix that what is seen contradicts: 0 not at all, 1 copies.",
     lambda row: row.following),
)  # fmt: skip


_INTERVALS = (
    "Success with its 95 % Wilson interval, which counts episodes as independent. Those of one "
    "training seed share its networks, and all seeds play the same episodes: what another training "
    "would give scatters as the rates by seed do."
)


def build_report(rows: Sequence[Row], note: str) -> str:
    """The page; `note` says what was run, and what success is."""
    found = best(rows)
    largest = max(row.delay for row in rows)
    plots = [
        card(title, said, _plot(rows, title, value), "half")
        for title, said, value in _PLOTS
        if any(value(row) is not None for row in rows)
    ]
    legend = _legend([name for name in STRATEGIES if any(row.strategy == name for row in rows)])
    headline = "none without a stall" if found is None else TITLES[found.strategy]
    header = (
        '<header><div><div class="brand">takt · delay benchmark</div>'
        f"<h1>Best at {largest} ticks of delay: {escape(headline)}</h1></div>"
        f'<p class="sub">{escape(note)}</p></header>'
    )
    tables = [
        card(f"{delay} ticks of delay", _INTERVALS, _table(rows, delay))
        for delay in sorted({row.delay for row in rows}, reverse=True)
    ]
    return page("takt bench delay", header, [card("Strategies", "", legend), *plots, *tables], "")


def _plot(rows: Sequence[Row], title: str, value: Callable[[Row], float | None]) -> str:
    drawn = []
    for colour, name in enumerate(STRATEGIES):
        mine = [(row.delay, value(row)) for row in rows if row.strategy == name]
        points = sorted((delay, y) for delay, y in mine if y is not None)
        if points:
            x, y = zip(*points, strict=True)
            curve = Curve(label=TITLES[name], x=x, y=y, colour=colour, marked=True)
            drawn.append(curve)
    return curves(drawn, HALF, f"{title} over the delay in ticks")


def _legend(names: Sequence[Strategy]) -> str:
    items = [
        f'<li><i class="dot axis-{STRATEGIES.index(name)}"></i>{escape(TITLES[name])}</li>'
        for name in names
    ]
    return f'<ul class="legend">{"".join(items)}</ul>'


_COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("success", lambda row: f"{row.success.k}/{row.success.n}"),
    ("%", lambda row: f"{100 * row.success.rate:.0f}"),
    ("95 %", lambda row: f"{100 * row.success.lo:.0f}–{100 * row.success.hi:.0f}"),
    ("by seed", lambda row: " ".join(f"{100 * rate:.0f}" for rate in row.by_seed)),
    ("of own d = 0", lambda row: _number(row.success_vs_d0)),
    ("× naive", lambda row: _number(row.success_vs_naive)),
    ("on target", lambda row: _percent(row.on_target)),
    ("collisions", lambda row: "–" if row.collisions is None else str(row.collisions)),
    ("stalls", lambda row: str(row.stalls)),
    ("seam × naive", lambda row: _number(row.seam_vs_naive)),
    ("seam / inside", lambda row: _number(row.seam_ratio)),
    ("jerk × naive", lambda row: _number(row.jerk_vs_naive)),
    ("reaction", lambda row: _number(row.reaction, 1)),
    ("loops", lambda row: _percent(row.loops)),
    ("copying", lambda row: _number(row.following)),
)


def _table(rows: Sequence[Row], delay: int) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name, _ in _COLUMNS)
    body = "".join(
        f"<tr><td>{escape(TITLES[row.strategy])}</td>"
        + "".join(f"<td>{escape(cell(row))}</td>" for _, cell in _COLUMNS)
        + "</tr>"
        for row in rows
        if row.delay == delay
    )
    return f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
