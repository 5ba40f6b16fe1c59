"""The strategies of the delay benchmark: which network each runs, and how it is chunked at d."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from takt.policies.track.config import HORIZON, MAX_PREFIX, STREAMED, Network
from takt.runtime.chunking import (
    Chunking,
    Corrected,
    LambdaPrefix,
    NaiveAsynchronous,
    RealTimeChunking,
    StreamingReplan,
    Synchronous,
    TemporalEnsembling,
    TrainingTimeRTC,
    validate,
)
from takt.runtime.latency import Injected, Jittered, Latency
from takt.types import TaktError

Strategy = Literal[
    "synchronous",
    "naive",
    "ensembling",
    "rtc",
    "training_time_rtc",
    "lambda",
    "streaming",
    "corrected",
]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)

SHORTEST_EXECUTE = 4
"""T_e at small delays; larger ones need T_e = d."""
LONGEST_DELAY = 8
JITTER = 0.5
FIRST_SHARE = 0.5
"""Share of a delay after which a streamed plan's first actions are there. Favourable to streaming:
XR-0's own flow steps take a sixth of an inference, which leaves nothing to stream before d = 8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """What a strategy runs: a network, how its sampler goes on from the old plan, a head.

    Guidance is charged no more latency than the others, and a head none: it answers on its tick.
    """

    network: Network
    guided: bool = False
    guided_steps: int | None = None
    corrected: bool = False


GUIDED_STEPS = 4
"""How far guidance looks into the old plan, behind the prefix; chosen on validation seeds. All of
it, as published, is weaker at d = 0 and 4 (bench/delay_causes.py)."""

METHODS: Mapping[Strategy, Method] = {
    "synchronous": Method(network="plain"),
    "naive": Method(network="plain"),
    "ensembling": Method(network="plain"),
    "rtc": Method(network="plain", guided=True, guided_steps=GUIDED_STEPS),
    "training_time_rtc": Method(network="training_time_rtc"),
    "lambda": Method(network="lambda"),
    "streaming": Method(network="streaming"),
    "corrected": Method(network="plain", corrected=True),
}


def chunking(strategy: Strategy, delay: int, *, jitter: bool) -> Chunking:
    """The strategy at a delay of `delay` ticks, replanning as often as that allows.

    A prefix covers the delay, with `jitter` the longest but for spikes.

    Raises:
        TaktError: a delay that the benchmark does not have.
    """
    if not 0 <= delay <= LONGEST_DELAY:
        raise TaktError(
            f"expected delays of 0..{LONGEST_DELAY} ticks, got {delay}; the networks have never "
            "seen more committed actions"
        )
    execute = max(SHORTEST_EXECUTE, delay)
    covered = min(math.ceil((1 + JITTER * jitter) * delay), MAX_PREFIX)
    made = _chunking(strategy, execute, covered)
    validate(made, HORIZON, delay)
    return made


def _chunking(strategy: Strategy, execute: int, covered: int) -> Chunking:
    match strategy:
        case "synchronous":
            return Synchronous(execute)
        case "naive":
            return NaiveAsynchronous(execute)
        case "ensembling":
            return TemporalEnsembling(execute)
        case "rtc":
            return RealTimeChunking(execute, covered)
        case "training_time_rtc":
            return TrainingTimeRTC(execute, covered)
        case "lambda":
            return LambdaPrefix(execute, covered)
        case "streaming":
            return StreamingReplan(execute, first=min(max(covered, 1), STREAMED))
        case "corrected":
            return Corrected(execute)


def latency(strategy: Strategy, delay: int, seed: int, *, jitter: bool) -> Latency:
    """When plans arrive in the episode of `seed`."""
    share = FIRST_SHARE if strategy == "streaming" else 0.0
    if jitter:
        return Jittered(ticks=delay, seed=seed, jitter=JITTER, first_share=share)
    return Injected(delay, math.ceil(share * delay))
