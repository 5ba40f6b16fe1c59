"""One cell of the delay benchmark: a strategy with the networks of one training seed at one delay.

Every episode runs through takt's own executor on the virtual clock.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self, TypeVar

from takt.benchmarks.delay_fleet import Planner, Seat, run_fleet
from takt.benchmarks.delay_measures import has_loop, reactions
from takt.benchmarks.delay_strategies import Strategy, chunking, latency
from takt.benchmarks.motion import Motion, measure
from takt.runtime.chunking import Chunking, LambdaPrefix, Prefixed, TrainingTimeRTC
from takt.runtime.clock import VirtualClock
from takt.runtime.executor import Executor
from takt.runtime.inference import Corrector
from takt.runtime.safety import Governor, step_limits
from takt.simulation.track.body import TrackBody


@dataclass(frozen=True, slots=True, kw_only=True)
class CellKey:
    """What is run: `seed` is the training's; `jitter` scatters the delay and adds spikes."""

    strategy: Strategy
    seed: int
    delay: int
    jitter: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What came of it, as sums that pool over cells; None where a task has no such measure.

    Attributes:
        episodes: How many.
        successes: See `Verdict.success`; at the nut station parts with both nuts installed.
        collisions: Episodes in which the obstacle was touched.
        loops: Episodes with a repeated motion for nothing.
        on_target: Sum over episodes of `Verdict.on_target`.
        motion: Stalls, seams, jerk.
        reactions: One a perturbation, ticks.
        following_sum: Of `delay_copying.following`, one a training seed.
        following_count: How many of those.
    """

    episodes: int
    successes: int
    collisions: int | None
    loops: int | None
    on_target: float | None
    motion: Motion
    reactions: tuple[int, ...]
    following_sum: float = 0.0
    following_count: int = 0

    def __add__(self, other: Self) -> Self:
        """Pool two."""
        return type(self)(
            episodes=self.episodes + other.episodes,
            successes=self.successes + other.successes,
            collisions=_plus(self.collisions, other.collisions),
            loops=_plus(self.loops, other.loops),
            on_target=_plus(self.on_target, other.on_target),
            motion=self.motion + other.motion,
            reactions=self.reactions + other.reactions,
            following_sum=self.following_sum + other.following_sum,
            following_count=self.following_count + other.following_count,
        )

    def to_json(self) -> dict[str, Any]:
        """What `of_json` reads."""
        return asdict(self)

    @classmethod
    def of_json(cls, facts: dict[str, Any]) -> Self:
        """What `to_json` gave."""
        motion, ticks = Motion(**facts["motion"]), tuple(facts["reactions"])
        return cls(**{**facts, "motion": motion, "reactions": ticks})


Number = TypeVar("Number", int, float)


def _plus(one: Number | None, other: Number | None) -> Number | None:
    return None if one is None or other is None else one + other


def run_cell(
    key: CellKey,
    plan: Planner,
    episodes: Sequence[int],
    corrector: Corrector | None = None,
    chunked: Chunking | None = None,
) -> Cell:
    """Run the episodes of the seeds `episodes`.

    Args:
        key: The strategy and the delay.
        plan: Plans for many episodes at once, by their place in `episodes`.
        episodes: Seeds.
        corrector: The head of the corrected strategy.
        chunked: In place of the benchmark's own parameters of the strategy.
    """
    made = chunked or chunking(key.strategy, key.delay, jitter=key.jitter)

    def episode(number: int, seat: Seat) -> Cell:
        return _run_episode(key, made, episodes[number], seat, corrector)

    first, *others = run_fleet(len(episodes), plan, episode)
    return sum(others, start=first)


def _run_episode(
    key: CellKey, chunked: Chunking, seed: int, seat: Seat, corrector: Corrector | None
) -> Cell:
    body = TrackBody(seed)
    executor = Executor(
        body,
        seat,
        chunked,
        clock=VirtualClock(body.spec.dt),
        latency=latency(key.strategy, key.delay, seed, jitter=key.jitter),
        governor=Governor(body.spec.action_space, step_limits(body.spec)),
        corrector=corrector,
    )
    trace = executor.run(lambda: body.finished)
    verdict = body.verdict()
    committed = chunked.prefix if isinstance(chunked, Prefixed) else 0
    # guidance only pulls towards what was promised: its plan acts from its arrival on
    repeated = committed if isinstance(chunked, TrainingTimeRTC | LambdaPrefix) else 0
    return Cell(
        episodes=1,
        successes=int(verdict.success),
        collisions=int(verdict.collided),
        loops=int(has_loop(body.places, body.target)),
        on_target=verdict.on_target,
        motion=measure(trace, body.spec, key.delay, repeated),
        reactions=tuple(
            reactions(trace, body.reversals, corrected=corrector is not None, committed=committed)
        ),
    )
