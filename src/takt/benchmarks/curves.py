"""Curves over steps as SVG text, in the classes of report.css."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from takt.benchmarks.charts import LEFT, line, rect, svg, text

HEIGHT, TOP, BOTTOM = 220, 12, 188
COLOURS = 3  # axis-0 to axis-2


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Points (n,) in order of `x`; `low` and `high` bound each where it has an interval.

    x counts from 0; `colour` is 0 to 7; `marked` shows the points, for curves that have few.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int = 0
    marked: bool = False
    low: Sequence[float] = ()
    high: Sequence[float] = ()


def curves(
    drawn: Sequence[Curve],
    width: float,
    label: str,
    *,
    logarithmic: bool = False,
    highest: float | None = None,
) -> str:
    """All on one pair of axes: x from 0, y from 0 or, logarithmic, from the smallest.

    Points that are not finite are left out; there may be none.
    """
    drawn = [_finite(curve) for curve in drawn]
    last = max((x for curve in drawn for x in curve.x), default=1.0)
    low, high = _range([y for curve in drawn for y in curve.y], logarithmic)
    high = high if highest is None else highest

    def across(x: float) -> float:
        return LEFT + 8 + x / max(last, 1) * (width - LEFT - 24)

    def up(y: float) -> float:
        ends = (low, high, max(y, low))
        begin, end, at = np.log(ends) if logarithmic else ends
        return BOTTOM - (at - begin) / (end - begin) * (BOTTOM - TOP)

    body: list[str] = []
    for value in _logarithmic_ticks(low, high) if logarithmic else _ticks(high, 5):
        body.append(line(LEFT, up(value), width, up(value), "grid"))
        body.append(text(LEFT - 8, up(value) + 4, f"{value:.3g}", "tick", "end"))
    for value in filter(float.is_integer, _ticks(max(last, 1), 6)):
        body.append(text(across(value), BOTTOM + 20, f"{value:g}", "tick", "middle"))
    for curve in drawn:
        colour = f"axis-{curve.colour}"
        for x, lo, hi in zip(curve.x, curve.low, curve.high, strict=False):
            tip = f"{curve.label} {x:g}: {lo:.3f} to {hi:.3f}"
            body.append(rect(across(x) - 5, up(hi), 10, up(lo) - up(hi), "interval", tip))
        places = [(across(x), up(y)) for x, y in zip(curve.x, curve.y, strict=True)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        body.append(f'<polyline points="{path}" class="trace {colour}"/>')
        if curve.marked or len(places) == 1:
            body += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="{colour}"/>'
                     for x, y in places]  # fmt: skip
    return svg(width, HEIGHT, body, label)


def _finite(curve: Curve) -> Curve:
    kept = [point for point, y in enumerate(curve.y) if math.isfinite(y)]
    x, y = ([values[point] for point in kept] for values in (curve.x, curve.y))
    low, high = (
        [bound[point] for point in kept] if bound else () for bound in (curve.low, curve.high)
    )
    return replace(curve, x=x, y=y, low=low, high=high)


def _range(values: Sequence[float], logarithmic: bool) -> tuple[float, float]:
    high = max(values, default=1.0)
    if not logarithmic:
        return 0.0, 1.05 * high or 1.0
    low = min((value for value in values if value > 0), default=1e-3)
    return low / 1.1, max(1.1 * high, 1.3 * low)


def _ticks(last: float, count: int) -> list[float]:
    """About `count` round numbers from 0 on."""
    power = 10.0 ** np.floor(np.log10(last / count))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= last / count)
    return [float(k * step) for k in range(int(last / step + 1e-9) + 1)]


def _logarithmic_ticks(low: float, high: float) -> list[float]:
    """Ones, twos and fives in between; ones alone over many decades; the ends if none is there."""
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    digits = (1, 2, 5) if len(decades) < 5 else (1,)
    found = [m * 10.0**power for power in decades for m in digits]
    inside = [value for value in found if low <= value <= high]
    return inside if len(inside) > 1 else [low, high]
