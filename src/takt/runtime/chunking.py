"""When to infer and what is promised meanwhile: the strategies of asynchronous execution.

Notation: T horizon of a chunk, T_e steps executed before the next inference is triggered,
d delay in ticks between an observation and the first tick on which its chunk can act.
`runtime/plan.py` says what becomes of the chunks.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from takt.types import ActionChunk, Seconds, TaktError


class ChunkingError(TaktError):
    """A chunking that could not run without gaps at the given horizon and delay."""


@dataclass(frozen=True, slots=True)
class Synchronous:
    """Execute T_e steps, then hold still while the next chunk is inferred."""

    execute: int


@dataclass(frozen=True, slots=True)
class NaiveAsynchronous:
    """Keep moving meanwhile; the next chunk knows nothing of it and is cut over to."""

    execute: int


@dataclass(frozen=True, slots=True)
class TemporalEnsembling:
    """Average what all chunks say about a tick, the oldest weighing most (ACT, algorithm 2).

    Weights are exp(-decay * i), i = 0 for the oldest chunk; a negative decay prefers the newest.
    """

    execute: int
    decay: float = 0.01


@dataclass(frozen=True, slots=True)
class RealTimeChunking:
    """The policy inpaints: its sampler is guided to go on from `prefix` committed actions (RTC)."""

    execute: int
    prefix: int


@dataclass(frozen=True, slots=True)
class TrainingTimeRTC:
    """The policy was trained to go on from clean committed actions, with a time per token."""

    execute: int
    prefix: int


@dataclass(frozen=True, slots=True)
class LambdaPrefix:
    """XR-0: trained with prefixes, a banded mask and offset positions (paper section 2.3)."""

    execute: int
    prefix: int


@dataclass(frozen=True, slots=True)
class StreamingReplan:
    """Naive, but the chunk's `first` actions are finished, and act, before the rest (FASTER)."""

    execute: int
    first: int


@dataclass(frozen=True, slots=True)
class Corrected:
    """Naive, and a light head mends every action from what is seen on its tick (A2C2)."""

    execute: int


Prefixed = RealTimeChunking | TrainingTimeRTC | LambdaPrefix
Chunking = (
    Synchronous | NaiveAsynchronous | TemporalEnsembling | Prefixed | StreamingReplan | Corrected
)

NAMES: Mapping[type[Chunking], str] = {
    Synchronous: "synchronous",
    NaiveAsynchronous: "naive asynchronous",
    TemporalEnsembling: "temporal ensembling (ACT)",
    RealTimeChunking: "real-time chunking (guided inpainting)",
    TrainingTimeRTC: "training-time RTC",
    LambdaPrefix: "Λ-prefix",
    StreamingReplan: "streaming replan (FASTER)",
    Corrected: "per-step correction (A2C2)",
}
"""What people call them."""
_PARAMETERS = {
    "execute": "executes {}",
    "prefix": "prefix up to {}",
    "first": "first {} early",
    "decay": "decay {:g}",
}


def title(chunking: Chunking) -> str:
    """Name and parameters, as in "Λ-prefix, executes 6, prefix up to 6"."""
    values = asdict(chunking).items()
    return ", ".join([NAMES[type(chunking)], *(_PARAMETERS[key].format(v) for key, v in values)])


def validate(chunking: Chunking, horizon: int, delay: int) -> None:
    """Refuse, with the reason, what would leave ticks without a planned action."""
    execute = chunking.execute
    if not 1 <= execute <= horizon:
        raise ChunkingError(
            f"expected 1 <= T_e <= T, got T_e={execute}, T={horizon}; choose T_e within the chunk"
        )
    if isinstance(chunking, Synchronous):
        return
    if delay > execute:
        raise ChunkingError(
            f"expected d <= T_e, got d={delay}, T_e={execute}: a chunk would arrive after its "
            "successor is due; raise T_e or lower the latency"
        )
    if execute > horizon - delay:
        raise ChunkingError(
            f"expected T_e <= T - d, got T_e={execute}, T={horizon}, d={delay}: the actions run "
            "out before the next chunk arrives; lower T_e or the latency"
        )
    _validate_own(chunking, horizon, delay)


def _validate_own(chunking: Chunking, horizon: int, delay: int) -> None:
    match chunking:
        case RealTimeChunking() | TrainingTimeRTC() | LambdaPrefix():
            if not delay <= chunking.prefix <= horizon - chunking.execute:
                raise ChunkingError(
                    f"expected d <= prefix <= T - T_e, got prefix={chunking.prefix}, d={delay}, "
                    f"T={horizon}, T_e={chunking.execute}: the prefix must cover the inference and "
                    "exist"
                )
        case StreamingReplan(first=first):
            if not max(delay, 1) <= first <= horizon:
                raise ChunkingError(
                    f"expected d <= first <= T, got first={first}, d={delay}, T={horizon}: the "
                    "first actions must last until the others are finished"
                )
        case TemporalEnsembling(decay=decay):
            if not math.isfinite(decay):
                raise ChunkingError(f"expected a finite decay, got {decay}; ACT has 0.01")


def usable_steps(chunking: Chunking, horizon: int) -> int:
    """How many leading actions of a chunk may be executed."""
    return min(chunking.execute, horizon) if isinstance(chunking, Synchronous) else horizon


def committed_actions(
    chunking: Chunking, plan: ActionChunk | None, now: Seconds
) -> ActionChunk | None:
    """What is left of the plan from `now` on, `prefix` actions at most; None: nothing is promised.

    Of a plan that has run out nothing is left to promise: the next one begins when it arrives.
    """
    if not isinstance(chunking, Prefixed) or plan is None or chunking.prefix == 0:
        return None
    index = plan.index_at(now)
    actions = plan.actions[index : index + chunking.prefix]
    return replace(plan, stamp=now, actions=actions) if len(actions) else None
