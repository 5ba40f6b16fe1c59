"""What the executor did, tick by tick; every metric of a run is computed from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from beartype import beartype
from jaxtyping import Bool, Float32, Int32, jaxtyped

from takt.types import Seconds


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One row per executed tick, one entry per finished inference.

    `chunk` numbers the chunk that was acted on (-1 before the first), `index` is the place in it
    (-1 when held). `held`: nothing was due and the last action was repeated. `waiting`: held with
    an inference in flight. `age_s`: execution time minus capture of the newest image behind the
    action (NaN before the first chunk). `delay_ticks`: executed ticks from observation to arrival.
    Both count executed ticks only: `missed` periods of real time, which passed without a tick
    because one before took too long, are not in them.
    """

    actions: Float32[np.ndarray, "tick action"]
    chunk: Int32[np.ndarray, " tick"]
    index: Int32[np.ndarray, " tick"]
    held: Bool[np.ndarray, " tick"]
    waiting: Bool[np.ndarray, " tick"]
    age_s: Float32[np.ndarray, " tick"]
    compute_s: Float32[np.ndarray, " inference"]
    delay_ticks: Int32[np.ndarray, " inference"]
    dropped: int
    missed: int
    interventions: Mapping[str, int]


@dataclass(slots=True)
class TraceRecorder:
    """Collects rows while a cycle runs."""

    rows: list[tuple[np.ndarray, int, int, bool, bool, Seconds]] = field(default_factory=list)
    inferences: list[tuple[Seconds, int]] = field(default_factory=list)
    dropped: int = 0

    def trace(self, interventions: Mapping[str, int], missed: int, width: int) -> Trace:
        """Everything so far; `width` is the number of action axes."""
        columns = list(zip(*self.rows, strict=True)) or [()] * 6
        compute, delays = list(zip(*self.inferences, strict=True)) or [(), ()]
        return Trace(
            actions=np.asarray(columns[0], np.float32).reshape(-1, width),
            chunk=np.asarray(columns[1], np.int32),
            index=np.asarray(columns[2], np.int32),
            held=np.asarray(columns[3], bool),
            waiting=np.asarray(columns[4], bool),
            age_s=np.asarray(columns[5], np.float32),
            compute_s=np.asarray(compute, np.float32),
            delay_ticks=np.asarray(delays, np.int32),
            dropped=self.dropped,
            missed=missed,
            interventions=dict(interventions),
        )
