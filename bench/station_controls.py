"""The nut station's controls: what must succeed, what must fail, and how far a pin captures.

Scripted expert; the same with yaw alignment off; the same with every nut forced 10 degrees off its
spline; arms that hold still. `--capture` sweeps forced errors in angle and across instead.
Nothing is rendered.
The figures of docs/station.md are `--seeds 200` and `--capture --seeds 20`.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import tyro

from takt.benchmarks.wilson import Proportion, wilson
from takt.embodiments.nut_station.cycle import SIDES
from takt.embodiments.nut_station.spec import SPEC
from takt.simulation.nut_station.expert import ScriptedExpert, TipGoal
from takt.simulation.nut_station.judge import NutState
from takt.simulation.nut_station.kinematics import tip_from_joints
from takt.simulation.nut_station.station import NutStation

HOLD_SEEDS = 20  # a cycle without action always lasts 112 s, fifteen times an expert's
CAPTURE_DEG = (0, 2, 4, 5, 6, 7, 8, 9, 10, 15)
CAPTURE_MM = (1, 2, 3, 4, 5, 6, 7, 8)

Player = Callable[[], np.ndarray]
"""Joint targets (14,) for the coming tick."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Run the station's controls."""

    seeds: int = 20
    """Cycles per control."""
    seed: int = 0
    """First seed. The controls learn nothing, so any range is fair."""
    capture: bool = False
    """Sweep how far a nut is forced off its spline match, and off the pin's axis."""
    json: bool = False
    """Print one JSON object as the last line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """How one player works the station."""

    name: str
    seat: Callable[[NutStation, int], Player]
    longest: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A control's cycles; `sides` counts both nuts of each; times include the constant."""

    name: str
    both: Proportion
    sides: Proportion
    jammed: Proportion
    outcomes: dict[str, int]
    cycle_p50_s: float
    cycle_p95_s: float
    tip_speed_p50_m_s: float
    tip_speed_max_m_s: float


class OffAxisExpert(ScriptedExpert):
    """Takes both pins to be elsewhere: `off_m` is (3,) from the truth."""

    def __init__(self, station: NutStation, off_m: np.ndarray) -> None:
        super().__init__(station)
        self._off_m = off_m

    def _install(self, nut: NutState, tip: np.ndarray, yaw: float, pin: np.ndarray) -> TipGoal:
        return super()._install(nut, tip, yaw, pin + self._off_m)


def expert(*, align_yaw: bool = True, off_deg: float = 0.0) -> Callable[[NutStation, int], Player]:
    """Seats the scripted expert."""

    def seat(station: NutStation, seed: int) -> Player:
        offset = float(np.radians(off_deg))
        return ScriptedExpert(station, align_yaw=align_yaw, yaw_offset=offset).action

    return seat


def off_axis(off_mm: float) -> Callable[[NutStation, int], Player]:
    """Seats an expert that errs across, in a direction drawn from the seed."""

    def seat(station: NutStation, seed: int) -> Player:
        angle = np.random.default_rng([seed, 3]).uniform(0, 2 * np.pi)
        off_m = off_mm / 1e3 * np.array([np.cos(angle), np.sin(angle), 0.0])
        return OffAxisExpert(station, off_m).action

    return seat


def hold(station: NutStation, seed: int) -> Player:
    """Seats nobody: the arms keep the pose of the cycle's start."""
    space = SPEC.action_space
    pose = np.clip(station.state(), space.low, space.high)
    return lambda: pose


CONTROLS = (
    Control(name="expert", seat=expert()),
    Control(name="expert, yaw alignment off", seat=expert(align_yaw=False)),
    Control(name="expert, 10 deg off the spline", seat=expert(off_deg=10.0)),
    Control(name="hold", seat=hold, longest=HOLD_SEEDS),
)
CAPTURE = (
    *(Control(name=f"{deg} deg off the spline", seat=expert(off_deg=deg)) for deg in CAPTURE_DEG),
    *(Control(name=f"{mm} mm off the axis", seat=off_axis(mm)) for mm in CAPTURE_MM),
)


def work(station: NutStation, player: Player) -> float:
    """Run a cycle to its end; returns the fastest fingertip's speed in m/s."""
    tips, fastest = None, 0.0
    while not station.finished:
        station.act(player())
        arms = np.split(station.state().astype(np.float64), 2)
        now = np.stack([tip_from_joints(s, a[:6])[0] for s, a in zip(SIDES, arms, strict=True)])
        if tips is not None:
            fastest = max(fastest, float(np.linalg.norm(now - tips, axis=1).max()) / SPEC.dt)
        tips = now
    return fastest


def measure(station: NutStation, control: Control, seeds: Sequence[int]) -> Row:
    """A control's cycles over `seeds`."""
    ends, times, speeds = [], [], []
    for seed in seeds[: control.longest]:
        station.reset(seed)
        speeds.append(work(station, control.seat(station, seed)))
        ends.append(tuple(station.finish().values()))
        times.append(station.cycle_s)
    counts = Counter(outcome for end in ends for outcome in end)
    both = sum(end == ("installed", "installed") for end in ends)
    return Row(
        name=control.name,
        both=wilson(both, len(ends)),
        sides=wilson(counts["installed"], 2 * len(ends)),
        jammed=wilson(counts["spline_jam"], 2 * len(ends)),
        outcomes=dict(counts.most_common()),
        cycle_p50_s=float(np.percentile(times, 50)),
        cycle_p95_s=float(np.percentile(times, 95)),
        tip_speed_p50_m_s=float(np.median(speeds)),
        tip_speed_max_m_s=max(speeds),
    )


def show(row: Row) -> str:
    """One line of the table."""
    both = row.both
    rate = f"{both.k:4}/{both.n:<4} [{both.lo:5.1%}, {both.hi:6.1%}]"
    times = f"{row.cycle_p50_s:6.1f} {row.cycle_p95_s:6.1f} s"
    speed = f"{row.tip_speed_p50_m_s:.2f} {row.tip_speed_max_m_s:.2f} m/s"
    ends = ", ".join(f"{count} {name}" for name, count in row.outcomes.items())
    return f"{row.name:<30} {rate}  {times}  {speed}  {ends}"


def main() -> int:
    """Print a row per control."""
    config = tyro.cli(Config)
    station = NutStation()
    seeds = range(config.seed, config.seed + config.seeds)
    print(f"{'control':<30} both sides, 95 % Wilson  cycle p50, p95  tip p50, max   outcomes")
    rows = []
    for control in CAPTURE if config.capture else CONTROLS:
        rows.append(measure(station, control, seeds))
        print(show(rows[-1]), flush=True)
    if config.json:
        print(json.dumps({"controls": [asdict(row) for row in rows]}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
