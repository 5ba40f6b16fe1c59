"""`report.html`: one self-contained page that shows how a shift went."""

import base64
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from importlib.resources import files

import numpy as np

from takt.benchmarks import charts
from takt.benchmarks.cycle import CycleRecord
from takt.benchmarks.mcnemar import mcnemar
from takt.benchmarks.page import card, page
from takt.benchmarks.replay import Clip
from takt.benchmarks.shift_config import ResolvedShift
from takt.benchmarks.summary import ShiftSummary, summarise
from takt.benchmarks.wilson import Proportion
from takt.embodiments.nut_station.cycle import OUTCOMES, STATION_SHARE_S, TAKT_S

# The published pilot of this station, for comparison: share installed over 3 h.
PILOT = {"both": 0.902, "left": 0.917, "right": 0.967}
MODES = {
    "async": "asynchronous",
    "naive": "naive asynchronous",
    "sync": "synchronous",
    "step": "step by step",
}
STITCH_S = 4.0


@dataclass(frozen=True, slots=True)
class ShiftRun:
    """A finished shift as the report needs it."""

    config: ResolvedShift
    records: Sequence[CycleRecord]

    @property
    def summary(self) -> ShiftSummary:
        """Its numbers."""
        return summarise(self.records, self.config.injected_ms, self.config.delay_ticks)


def pick_clips(records: Sequence[CycleRecord]) -> list[tuple[str, CycleRecord]]:
    """The best and the worst cycle: by sides installed, then by time. One cycle is only itself."""

    def rank(record: CycleRecord) -> tuple[int, float]:
        done = sum(outcome == "installed" for outcome in record.outcomes.values())
        return -done, record.cycle_s

    ranked = sorted(records, key=rank)
    clips = [("Best cycle", ranked[0]), ("Worst cycle", ranked[-1])]
    return clips[: len(ranked)]


def build_report(run: ShiftRun, clips: Sequence[Clip], beside: ShiftRun | None = None) -> str:
    """The whole page; `beside` is another shift to compare with."""
    title = f"takt shift · {run.config.policy} · {_mode(run)}"
    sections = [
        _hero(run.summary),
        _tiles(run.summary),
        _times(run),
        _outcomes(run.summary),
        _kpis(run.summary),
        _latency(run),
        _stitching(run),
        *([_comparison(run, beside)] if beside else []),
        _videos(clips),
        _config(run),
    ]
    return page(title, _header(run), sections, _footer())


def _header(run: ShiftRun) -> str:
    config = run.config
    first, last = config.seed, config.seed + len(run.records) - 1
    sight = ", images replaced by grey" if config.grey else ""
    cycles = "1 cycle" if len(run.records) == 1 else f"{len(run.records)} cycles"
    return (
        '<header><div><div class="brand">takt · nut station</div>'
        f"<h1>Shift of {cycles}, {_mode(run)}</h1></div>"
        f'<p class="sub">policy <b>{escape(config.policy)}</b>{sight} · {config.clock} clock'
        " · "
        f"seeds {first}–{last}</p></header>"
    )


def _hero(summary: ShiftSummary) -> str:
    both = summary.both
    hero = (
        '<section class="card hero"><h2>Both nuts installed</h2>'
        f'<div class="figure">{100 * both.rate:.1f}<small> %</small></div>'
        f'<p class="sub"><b>{both.k} of {both.n}</b> parts · 95 % interval '
        f"{100 * both.lo:.1f}–{100 * both.hi:.1f}&nbsp;%</p></section>"
    )
    rates = {"both": both, "left": summary.left, "right": summary.right}
    chart = card(
        "Success by side",
        "Point: measured. Band: 95 % Wilson interval. Amber line: the published pilot.",
        charts.intervals(rates, PILOT),
        "rates",
    )
    return hero + chart


def _tiles(summary: ShiftSummary) -> str:
    motion = summary.motion
    tiles = [
        (f"{summary.cycle_s['p95']:.1f}", "s", f"cycle time p95, takt {TAKT_S:g} s"),
        (f"{100 * summary.kpi.oee:.1f}", "%", "overall effectiveness (OEE)"),
        (f"{motion.stalls}", "ticks", "stalls: nothing due, or late"),
        (f"{100 * motion.idle_share:.1f}", "%", "idle, held waiting for a plan"),
        (_number(motion.seam_ratio, 2), "×", "jump at seams over in-plan steps"),
        (_number(motion.jerk_rms, 0), "rad/s³", "RMS jerk of joint targets"),
    ]
    cells = [
        f'<div class="tile"><b>{figure} <small>{unit}</small></b><span>{escape(label)}</span></div>'
        for figure, unit, label in tiles
    ]
    return f'<div class="tiles">{"".join(cells)}</div>'


def _times(run: ShiftRun) -> str:
    cycle_s = run.summary.cycle_s
    note = (
        f"Median {cycle_s['p50']:.1f} s, p95 {cycle_s['p95']:.1f} s, "
        f"longest {cycle_s['max']:.1f} s; simulated seconds, of which "
        f"{STATION_SHARE_S:g} s are the station's own (part exchange, tightening). "
        "Red: a side was not installed."
    )
    return card("Cycle times", note, charts.cycle_times(run.records))


def _outcomes(summary: ShiftSummary) -> str:
    seen = [name for name in OUTCOMES if any(name in c for c in summary.outcomes.values())]
    legend = "".join(
        f'<li><span class="dot {name}"></span>{name.replace("_", " ")}: '
        f"{' / '.join(str(counts.get(name, 0)) for counts in summary.outcomes.values())}</li>"
        for name in seen
    )
    body = charts.outcome_bars(summary.outcomes) + f'<ul class="legend">{legend}</ul>'
    return card("Outcomes", "Every side of every cycle, counts left / right.", body, "half")


def _kpis(summary: ShiftSummary) -> str:
    kpi = summary.kpi
    meters = [
        ("availability", kpi.availability, ""),
        ("performance", kpi.performance, ""),
        ("quality = first-pass yield", kpi.quality, ""),
        ("OEE", kpi.oee, "total"),
    ]
    rows = "".join(
        f'<div class="meter {classes}"><div><span>{name}</span><b>{100 * share:.1f} %</b></div>'
        f'<i style="--share:{100 * share:.1f}%"></i></div>'
        for name, share, classes in meters
    )
    note = (
        f"ISO 22400-2. Scrap {100 * kpi.scrap:.1f} %, governor interventions {kpi.interventions}."
    )
    return card("Line indicators", note, rows, "half")


def _latency(run: ShiftRun) -> str:
    compute_ms = np.concatenate([record.compute_ms for record in run.records])
    if len(compute_ms) == 0:
        return ""
    wanted = run.summary.inference_ms
    motion = run.summary.motion
    age = "" if motion.age_s is None else f", mean observation age {1e3 * motion.age_s:.0f} ms"
    note = (
        f"{len(compute_ms)} inferences, measured compute p50 {wanted['p50']:.1f} ms, "
        f"p95 {wanted['p95']:.1f} ms; {_delay(run.config)}late {motion.late}, "
        f"dropped {motion.dropped}{age}."
    )
    chart = charts.histogram(compute_ms, run.summary.latency_ms, "ms")
    return card("Inference latency", note, chart, "half")


def _delay(config: ResolvedShift) -> str:
    if config.clock == "wall":
        return ""
    return f"injected {config.latency_ms:g} ms = {config.delay_ticks} ticks; "


def _stitching(run: ShiftRun) -> str:
    record = pick_clips(run.records)[0][1]
    rate_hz = run.config.rate_hz
    window = min(int(STITCH_S * rate_hz), len(record.actions))
    begin = max(0, (len(record.actions) - window) // 3)
    stretch = slice(begin, begin + window)
    # the axes that move most in the window say most
    spread = np.ptp(record.actions[stretch], axis=0)
    axes = np.argsort(-spread)[:3]
    note = (
        f"{window / rate_hz:.0f} s of the best cycle: three joint targets over the plans behind "
        "them (bands alternate). Red: held, waiting for a plan."
    )
    chart = charts.stitching(record.actions[stretch][:, axes], record.chunk[stretch], rate_hz)
    return card(f"How plans are stitched, {_mode(run)}", note, chart, "half")


def _comparison(run: ShiftRun, beside: ShiftRun) -> str:
    runs = (run, beside)

    def row(name: str, values: Sequence[str]) -> str:
        return f"<tr><td>{name}</td>{''.join(f'<td>{value}</td>' for value in values)}</tr>"

    def rate(found: Proportion) -> str:
        return f"{100 * found.rate:.1f} % ({100 * found.lo:.1f}–{100 * found.hi:.1f})"

    parts = [r.summary for r in runs]
    rows = [
        row("parts", [str(s.cycles) for s in parts]),
        row("both sides (95 %)", [rate(s.both) for s in parts]),
        row("left", [rate(s.left) for s in parts]),
        row("right", [rate(s.right) for s in parts]),
        row(
            "cycle p50 / p95", [f"{s.cycle_s['p50']:.1f} / {s.cycle_s['p95']:.1f} s" for s in parts]
        ),
        row("idle share", [f"{100 * s.motion.idle_share:.1f} %" for s in parts]),
        row("stalls", [f"{s.motion.stalls} ticks" for s in parts]),
        row("seam ratio", [_number(s.motion.seam_ratio, 2) for s in parts]),
        row("RMS jerk", [f"{_number(s.motion.jerk_rms, 0)} rad/s³" for s in parts]),
        row("OEE", [f"{100 * s.kpi.oee:.1f} %" for s in parts]),
    ]
    heads = "".join(f"<th>{escape(_name(r))}</th>" for r in runs)
    body = f"<table><thead><tr><th></th>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    shared, p = compare(run, beside)
    note = f"{shared} seeds in common, {len(beside.records)} cycles beside; McNemar's p {p:.3f}."
    return card("Side by side", note, body, "half") + _stitching(beside)


def compare(run: ShiftRun, beside: ShiftRun) -> tuple[int, float]:
    """Seeds that both shifts ran, and McNemar's p of both sides being installed on them."""
    ours, theirs = ({record.seed: record.good for record in r.records} for r in (run, beside))
    shared = sorted(ours.keys() & theirs.keys())
    return len(shared), mcnemar([ours[seed] for seed in shared], [theirs[seed] for seed in shared])


def _name(run: ShiftRun) -> str:
    policy = run.config.policy.rstrip("/").rpartition("/")[2]
    return f"{policy}{', grey' if run.config.grey else ''}, {_mode(run)}"


def _mode(run: ShiftRun) -> str:
    """How plans follow each other; plans of one step make no difference between the modes."""
    return MODES["step" if run.config.horizon == 1 else run.config.mode]


def _videos(clips: Sequence[Clip]) -> str:
    figures = []
    for clip in clips:
        data = base64.b64encode(clip.video).decode()
        sides = ", ".join(f"{side} {name}" for side, name in clip.record.outcomes.items())
        figures.append(
            '<figure><video controls muted loop playsinline preload="auto" '
            f'src="data:video/mp4;base64,{data}"></video><figcaption><b>{escape(clip.title)}</b>: '
            f"seed {clip.record.seed}, {clip.record.cycle_s:.1f} s "
            f"with the station's {STATION_SHARE_S:g} s, shown at {clip.speed:g}× speed, "
            f"{escape(sides.replace('_', ' '))}</figcaption></figure>"
        )
    if not figures:
        return ""
    body = f'<div class="pair">{"".join(figures)}</div>'
    return card("On camera", "Replayed from the recorded actions.", body)


def _config(run: ShiftRun) -> str:
    config = run.config
    rows = "".join(
        f"<tr><td>{escape(key)}</td><td><code>{escape(str(value))}</code></td></tr>"
        for key, value in asdict(config).items()
    )
    definitions = files("takt.benchmarks").joinpath("definitions.html").read_text()
    body = (
        f"<p><code>{escape(config.command)}</code></p>"
        f"<details><summary>resolved config</summary><table>{rows}</table></details>"
        f"<details><summary>definitions</summary>{definitions}</details>"
    )
    note = "The same command gives the same trajectory."
    if config.clock == "wall":
        note = "On the wall clock no two runs are the same."
    return card("Run it again", note, body)


def _footer() -> str:
    return (
        "<footer>Time is simulated seconds; a cycle is cut at 152 s and counts as that. "
        "Inference latency is measured compute; the virtual clock injects a fixed delay instead."
        "</footer>"
    )


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
