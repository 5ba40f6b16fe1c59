"""Plots as SVG text, coloured by the classes of report.css so that they follow light and dark."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from takt.benchmarks.cycle import CycleRecord
from takt.benchmarks.wilson import Proportion
from takt.embodiments.nut_station.cycle import OUTCOMES, TAKT_S

# As wide as the cards they stand in, so that one unit is one pixel and labels keep their size.
FULL, RATES, HALF = 1020, 560, 480
LEFT = 44  # room for the labels of the vertical axis


def svg(width: float, height: float, body: Sequence[str], label: str) -> str:
    """One drawing that scales with its column."""
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">'
        f"{''.join(body)}</svg>"
    )


def text(x: float, y: float, content: str, classes: str = "", anchor: str = "start") -> str:
    """A label; `anchor` is start, middle or end."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" class="{classes}" text-anchor="{anchor}">'
        f"{escape(content)}</text>"
    )


def line(x1: float, y1: float, x2: float, y2: float, classes: str) -> str:
    """A straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{classes}"/>'


def rect(x: float, y: float, w: float, h: float, classes: str, title: str = "") -> str:
    """A box, with a tooltip if `title`."""
    tip = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<rect x="{x:.2f}" y="{y:.2f}" width="{max(w, 0):.2f}" height="{max(h, 0):.2f}" '
        f'class="{classes}">{tip}</rect>'
    )


def intervals(rates: Mapping[str, Proportion], reference: Mapping[str, float]) -> str:
    """Success rates with their 95 % intervals on one scale, and a reference figure for each."""
    row, top, right = 40, 4, RATES - 20
    base = min([0.5, *(rate.lo for rate in rates.values())])
    low = np.floor(base * 10) / 10

    def x(share: float) -> float:
        return LEFT + 24 + (share - low) / (1 - low) * (right - LEFT - 24)

    bottom = top + row * len(rates)
    body = []
    for share in np.linspace(low, 1.0, 6):
        body.append(line(x(share), top, x(share), bottom, "grid"))
        body.append(text(x(share), bottom + 16, f"{100 * share:.0f} %", "tick", "middle"))
    for index, (name, rate) in enumerate(rates.items()):
        y = top + row * (index + 0.5)
        span = f"{name}: {rate.k} of {rate.n}, 95 % interval {rate.lo:.3f} to {rate.hi:.3f}"
        body.append(text(0, y + 4, name, "label"))
        body.append(rect(x(rate.lo), y - 7, x(rate.hi) - x(rate.lo), 14, "interval", span))
        if name in reference:
            at = x(reference[name])
            body.append(line(at, y - 13, at, y + 13, "reference"))
        body.append(f'<circle cx="{x(rate.rate):.1f}" cy="{y:.1f}" r="6" class="point"/>')
    return svg(RATES, bottom + 24, body, "success rates with 95 % Wilson intervals")


def cycle_times(records: Sequence[CycleRecord]) -> str:
    """One bar a cycle against the takt."""
    height, bottom, top = 230, 204, 12
    limit = max(1.2 * TAKT_S, 1.05 * max(record.cycle_s for record in records))

    def y(seconds: float) -> float:
        return bottom - seconds / limit * (bottom - top)

    step = (FULL - LEFT) / len(records)
    gap = min(0.25 * step, 6)
    body = []
    for seconds in range(0, int(limit) + 1, 20 if limit < 120 else 40):
        body.append(line(LEFT, y(seconds), FULL, y(seconds), "grid"))
        body.append(text(LEFT - 8, y(seconds) + 4, f"{seconds}", "tick", "end"))
    for index, record in enumerate(records):
        sides = ", ".join(f"{side} {outcome}" for side, outcome in record.outcomes.items())
        tip = f"cycle {record.cycle + 1}, seed {record.seed}: {record.cycle_s:.1f} s, {sides}"
        wide = min(step - gap, 48)
        x = LEFT + (index + 0.5) * step - wide / 2
        classes = "good" if record.good else "bad"
        body.append(rect(x, y(record.cycle_s), wide, bottom - y(record.cycle_s), classes, tip))
    body.append(line(LEFT, y(TAKT_S), FULL, y(TAKT_S), "takt"))
    body.append(text(FULL, y(TAKT_S) - 6, f"takt {TAKT_S:g} s", "takt-label", "end"))
    body.append(text(LEFT + step / 2, height - 4, "1", "tick", "middle"))
    body.append(text(FULL - step / 2, height - 4, f"{len(records)}", "tick", "middle"))
    return svg(FULL, height, body, "cycle times in seconds")


def outcome_bars(outcomes: Mapping[str, Mapping[str, int]]) -> str:
    """How each side's cycles ended, as shares of one bar."""
    row, body = 44, []
    for index, (side, counts) in enumerate(outcomes.items()):
        y, x = row * index + 6, float(LEFT + 8)
        total = sum(counts.values())
        body.append(text(0, y + 19, side, "label"))
        for name in OUTCOMES:
            share = counts.get(name, 0) / total
            wide = share * (HALF - LEFT - 8)
            tip = f"{side}: {name.replace('_', ' ')}, {counts.get(name, 0)} of {total}"
            if wide:
                body.append(rect(x, y, wide, 28, f"outcome {name}", tip))
            if wide > 30:
                body.append(text(x + wide / 2, y + 19, str(counts[name]), "inside", "middle"))
            x += wide
    return svg(HALF, row * len(outcomes) - 4, body, "outcomes by side")


def histogram(values: np.ndarray, mark: float | None, unit: str) -> str:
    """Distribution of `values`; `mark` is drawn as the time that was allowed for."""
    height, bottom, top = 200, 172, 20
    limit = float(max(1.15 * np.percentile(values, 99.5), 1.15 * (mark or 0.0), 1e-3))
    counts, edges = np.histogram(np.clip(values, 0, limit), bins=48, range=(0, limit))

    def x(value: float) -> float:
        return LEFT + value / limit * (HALF - LEFT - 8)

    body = [line(LEFT, bottom, HALF - 8, bottom, "axis")]
    for value in _round_steps(limit):
        body.append(text(x(value), bottom + 18, f"{value:g} {unit}", "tick", "middle"))
    for count, lo, hi in zip(counts, edges[:-1], edges[1:], strict=True):
        tall = count / counts.max() * (bottom - top)
        tip = f"{count} inferences of {lo:.1f} to {hi:.1f} {unit}"
        body.append(rect(x(lo), bottom - tall, x(hi) - x(lo) - 1.5, tall, "bar", tip))
    if mark:
        body.append(line(x(mark), top - 6, x(mark), bottom, "takt"))
        body.append(text(x(mark) - 6, top + 4, f"injected {mark:g} {unit}", "takt-label", "end"))
    return svg(HALF, height, body, f"distribution in {unit}")


def stitching(actions: np.ndarray, chunk: np.ndarray, rate_hz: float) -> str:
    """Executed targets (tick, axis), each scaled to its range, over bands of the acting plan."""
    height, bottom, top = 210, 178, 10
    ticks = len(actions)

    def x(tick: float) -> float:
        return 8 + tick / ticks * (HALF - 16)

    body = []
    edges = [0, *(np.flatnonzero(np.diff(chunk)) + 1).tolist(), ticks]
    for lo, hi in zip(edges[:-1], edges[1:], strict=True):
        number = int(chunk[lo])
        band = "held" if number < 0 else f"plan-{number % 2}"
        tip = "held, waiting for a plan" if number < 0 else f"plan {number + 1}"
        body.append(rect(x(lo), top, x(hi) - x(lo), bottom - top, band, tip))
    low, high = actions.min(axis=0), actions.max(axis=0)
    # an axis that does not move runs through the middle
    scaled = np.where(high > low, (actions - low) / np.maximum(high - low, 1e-9), 0.5)
    for axis in range(actions.shape[1]):
        points = " ".join(
            f"{x(tick):.1f},{bottom - 8 - value * (bottom - top - 16):.1f}"
            for tick, value in enumerate(scaled[:, axis])
        )
        body.append(f'<polyline points="{points}" class="trace axis-{axis}"/>')
    for second in range(int(ticks / rate_hz) + 1):
        body.append(text(x(second * rate_hz), bottom + 18, f"{second} s", "tick", "middle"))
    return svg(HALF, height - 8, body, "executed targets and the plans behind them")


def _round_steps(limit: float) -> list[float]:
    """About six round numbers from 0 to `limit`."""
    rough = limit / 6
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= rough)
    return [float(round(i * step, 9)) for i in range(int(limit / step) + 1)]
