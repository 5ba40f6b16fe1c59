"""How a cycle moved: stalls, idling, seams and jerk, as sums that add up over a shift."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from takt.runtime.trace import Trace
from takt.types import EmbodimentSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """Counts and sums over executed ticks; the ratios are formed last, so cycles pool exactly.

    `stalls`: ticks after the first plan with nothing due, and periods `missed` altogether.

    `seam_*` and `inner_*`: size of one-tick action changes where a plan gives way to the next and
    elsewhere, each axis as a share of its range. `jerk_*`: squared third differences of the joint
    targets, rad/s^3, held ticks included. `age_*`: observation age of executed actions, seconds.
    """

    ticks: int = 0
    stalls: int = 0
    waiting: int = 0
    late: int = 0
    dropped: int = 0
    missed: int = 0
    seam_sum: float = 0.0
    seam_count: int = 0
    inner_sum: float = 0.0
    inner_count: int = 0
    jerk_square_sum: float = 0.0
    jerk_count: int = 0
    age_sum: float = 0.0
    age_count: int = 0

    def __add__(self, other: Self) -> Self:
        """Pool two stretches."""
        return type(self)(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        )

    @property
    def idle_share(self) -> float:
        """Share of ticks on which the body was held waiting for an inference."""
        return self.waiting / self.ticks if self.ticks else 0.0

    @property
    def seam_ratio(self) -> float | None:
        """Mean change between plans over the mean change inside them; None without either."""
        if not (self.seam_count and self.inner_sum):
            return None
        return (self.seam_sum / self.seam_count) / (self.inner_sum / self.inner_count)

    @property
    def jerk_rms(self) -> float | None:
        """Root mean square jerk of the executed joint targets, rad/s^3."""
        return (self.jerk_square_sum / self.jerk_count) ** 0.5 if self.jerk_count else None

    @property
    def age_s(self) -> float | None:
        """Mean observation age of the executed actions."""
        return self.age_sum / self.age_count if self.age_count else None


def sources(trace: Trace, repeated: int) -> np.ndarray:
    """(tick,) the plan that an action was decided by.

    The first `repeated` actions of every plan but the first one are those that were promised when
    it was asked for: a plan that arrives earlier than its prefix ends changes nothing until then.
    """
    if not repeated:
        return trace.chunk
    begins: dict[int, int] = {}  # tick on which a plan's own actions begin, by number; rising
    found = np.array(trace.chunk)
    for tick, (number, index) in enumerate(zip(trace.chunk, trace.index, strict=True)):
        if index >= 0 and number not in begins:
            begins[number] = tick - index + repeated * bool(begins)
        newest = reversed(begins.items())
        found[tick] = next((plan for plan, begun in newest if begun <= tick), number)
    return found


def measure(trace: Trace, spec: EmbodimentSpec, planned_delay: int, repeated: int = 0) -> Motion:
    """The motion of one cycle.

    Args:
        trace: What was done.
        spec: Of the body.
        planned_delay: Ticks; what counts as on time.
        repeated: As in `sources`, for plans that begin with a clean prefix.
    """
    space = spec.action_space
    change = np.abs(np.diff(trace.actions.astype(np.float64), axis=0)) / (space.high - space.low)
    change = change.mean(axis=1)
    acting, begun = ~trace.held, trace.chunk >= 0
    plan = sources(trace, repeated)
    switched = plan[1:] != plan[:-1]
    seam = acting[1:] & switched & begun[:-1]
    inner = acting[1:] & acting[:-1] & ~switched
    joints = [unit == "rad" for unit in space.units]
    jerk = np.diff(trace.actions[:, joints].astype(np.float64), n=3, axis=0) * spec.rate_hz**3
    ages = trace.age_s[acting & begun]  # what a human does alone has no observation behind it
    return Motion(
        ticks=len(trace.actions),
        stalls=int((trace.held & begun).sum()) + trace.missed,
        waiting=int(trace.waiting.sum()),
        late=int((trace.delay_ticks > planned_delay).sum()),
        dropped=trace.dropped,
        missed=trace.missed,
        seam_sum=float(change[seam].sum()),
        seam_count=int(seam.sum()),
        inner_sum=float(change[inner].sum()),
        inner_count=int(inner.sum()),
        jerk_square_sum=float((jerk**2).sum()),
        jerk_count=jerk.size,
        age_sum=float(ages.sum()),
        age_count=len(ages),
    )
