"""The delay benchmark's rows: one a strategy and delay, pooled over training seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from takt.benchmarks.delay import Cell, CellKey
from takt.benchmarks.delay_strategies import STRATEGIES, Strategy
from takt.benchmarks.wilson import Proportion, wilson


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A strategy at a delay of `delay` ticks; ratios are None where nothing is there to divide by.

    Attributes:
        strategy: Its name.
        delay: d.
        success: See `Cell`. Its interval takes episodes to be independent, which those of one
            network are not, nor those of one seed under several networks.
        by_seed: Success rate of each training seed's networks.
        on_target: Mean share of the time.
        collisions: Episodes with one.
        stalls: Ticks after the first plan on which nothing was due.
        seam: Mean one-tick change of the command at chunk switches, as a share of its range.
        seam_ratio: The same over that inside chunks.
        jerk: RMS third difference of the commands, rad/s^3.
        reaction: Median ticks from a perturbation's first frame to the first informed action.
        loops: Share of episodes with a repeated motion for nothing.
        following: How far late actions follow a contradicted prefix; None without a prefix.
        seam_vs_naive: Of the seams, at the same delay.
        jerk_vs_naive: Of the jerk, at the same delay.
        success_vs_d0: Over the strategy's own without delay.
        success_vs_naive: At the same delay.
    """

    strategy: Strategy
    delay: int
    success: Proportion
    by_seed: tuple[float, ...]
    on_target: float | None
    collisions: int | None
    stalls: int
    seam: float | None
    seam_ratio: float | None
    jerk: float | None
    reaction: float | None
    loops: float | None
    following: float | None
    seam_vs_naive: float | None
    jerk_vs_naive: float | None
    success_vs_d0: float | None
    success_vs_naive: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return asdict(self)


def summarise(cells: Mapping[CellKey, Cell]) -> list[Row]:
    """Rows in the order of the strategies, then of the delays."""
    pooled, seeds = _pool(cells), sorted({key.seed for key in cells})
    alone = [_pool({key: c for key, c in cells.items() if key.seed == seed}) for seed in seeds]
    return [_row(strategy, delay, pooled, alone) for strategy, delay in pooled]


def best(rows: Sequence[Row]) -> Row | None:
    """The highest success at the largest delay among strategies without a stall there."""
    largest = max((row.delay for row in rows), default=0)
    steady = [row for row in rows if row.delay == largest and row.stalls == 0]
    return max(steady, key=lambda row: row.success.rate, default=None)


def to_json(rows: Sequence[Row]) -> dict[str, Any]:
    """`strategies` at the largest delay, `best` of them, and all `rows`."""
    largest = max((row.delay for row in rows), default=0)
    found = best(rows)
    return {
        "delay": largest,
        "strategies": {row.strategy: row.to_json() for row in rows if row.delay == largest},
        "best": None if found is None else found.to_json(),
        "rows": [row.to_json() for row in rows],
    }


Pooled = Mapping[tuple[Strategy, int], Cell]


def _pool(cells: Mapping[CellKey, Cell]) -> Pooled:
    delays = sorted({key.delay for key in cells})
    pooled: dict[tuple[Strategy, int], Cell] = {}
    for strategy in STRATEGIES:
        for delay in delays:
            same = [c for key, c in cells.items() if (key.strategy, key.delay) == (strategy, delay)]
            if same:
                pooled[strategy, delay] = reduce(add, same)
    return pooled


def _row(strategy: Strategy, delay: int, pooled: Pooled, alone: Sequence[Pooled]) -> Row:
    cell = pooled[strategy, delay]
    rates = [_rate(one.get((strategy, delay))) for one in alone]
    naive, start = pooled.get(("naive", delay)), pooled.get((strategy, 0))
    return Row(
        strategy=strategy,
        delay=delay,
        success=wilson(cell.successes, cell.episodes),
        by_seed=tuple(rate for rate in rates if rate is not None),
        on_target=_over(cell.on_target, cell.episodes),
        collisions=cell.collisions,
        stalls=cell.motion.stalls,
        seam=_seam(cell),
        seam_ratio=cell.motion.seam_ratio,
        jerk=cell.motion.jerk_rms,
        reaction=float(np.median(cell.reactions)) if cell.reactions else None,
        loops=_over(cell.loops, cell.episodes),
        following=_over(cell.following_sum, cell.following_count),
        seam_vs_naive=_over(_seam(cell), _seam(naive)),
        jerk_vs_naive=_over(cell.motion.jerk_rms, naive.motion.jerk_rms if naive else None),
        success_vs_d0=_over(_rate(cell), _rate(start)),
        success_vs_naive=_over(_rate(cell), _rate(naive)),
    )


def _seam(cell: Cell | None) -> float | None:
    return None if cell is None else _over(cell.motion.seam_sum, cell.motion.seam_count)


def _rate(cell: Cell | None) -> float | None:
    return None if cell is None else cell.successes / cell.episodes


def _over(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None
