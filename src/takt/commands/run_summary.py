"""What a run of `takt run` came to, for people and for programs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from takt.benchmarks.motion import Motion, measure
from takt.runtime.synchroniser import SensorTiming
from takt.runtime.trace import Trace
from takt.types import EmbodimentSpec


@dataclass(slots=True)
class RunSummary:
    """Filled episode by episode."""

    spec: EmbodimentSpec
    policy: str
    strategy: str
    clock: str
    planned_delay: int
    traces: list[Trace] = field(default_factory=list)
    sensors: Mapping[str, SensorTiming] = field(default_factory=dict)
    scheduling: str = "none"
    """What real-time priority the loop got: fifo, nice or none."""
    stopped: str | None = None
    """Why the run ended early; None if it ended as asked."""

    @property
    def title(self) -> str:
        """What runs on what, and how."""
        return (
            f"{self.spec.name} · {self.policy} · {self.strategy} · {self.clock} clock at "
            f"{self.spec.rate_hz:g} Hz"
        )

    def to_json(self) -> dict[str, Any]:
        """One plain object; milliseconds, seconds, counts."""
        motion = self._motion()
        interventions: Counter[str] = Counter()
        for trace in self.traces:
            interventions.update(trace.interventions)
        return {
            "body": self.spec.name,
            "policy": self.policy,
            "strategy": self.strategy,
            "clock": self.clock,
            "scheduling": self.scheduling,
            "rate_hz": self.spec.rate_hz,
            "episodes": len(self.traces),
            "ticks": motion.ticks,
            "seconds": round(motion.ticks * self.spec.dt, 3),
            "stalls": motion.stalls,
            "missed": motion.missed,
            "idle_share": motion.idle_share,
            "dropped": motion.dropped,
            "seam_ratio": motion.seam_ratio,
            "jerk_rms": motion.jerk_rms,
            "delay_ticks": _spread([trace.delay_ticks for trace in self.traces]),
            "compute_ms": _spread([1e3 * trace.compute_s for trace in self.traces]),
            "age_ms": _spread(
                [1e3 * trace.age_s[~trace.held & (trace.chunk >= 0)] for trace in self.traces]
            ),
            "interventions": dict(interventions),
            "sensors": {name: _sensor(timing) for name, timing in self.sensors.items()},
            "stopped": self.stopped,
        }

    def lines(self) -> list[str]:
        """The same for people, but for why it ended early."""
        found = self.to_json()
        changed = ", ".join(f"{cause} {n}" for cause, n in found["interventions"].items())
        lines = [
            f"{self.title}: {found['episodes']} episodes, {found['ticks']} ticks, "
            f"{found['seconds']:.1f} s",
            f"stalls {found['stalls']} (missed periods {found['missed']}); idle "
            f"{100 * found['idle_share']:.1f} %; late plans dropped {found['dropped']}; "
            f"governor: {changed or 'changed nothing'}",
            f"delay {_text(found['delay_ticks'], 'ticks')}; inference "
            f"{_text(found['compute_ms'], 'ms')}; observation age {_text(found['age_ms'], 'ms')}",
        ]
        return lines + [
            f"sensor {name}: age {s['age_ms']:.1f} ms (worst {s['worst_age_ms']:.1f}), skew "
            f"{s['skew_ms']:+.1f} ms; {s['received']} samples, {s['refused']} refused, "
            f"{s['failures']} failed reads"
            for name, s in found["sensors"].items()
        ]

    def _motion(self) -> Motion:
        total = Motion()
        for trace in self.traces:
            total += measure(trace, self.spec, self.planned_delay)
        return total


def _spread(parts: Sequence[np.ndarray]) -> dict[str, float] | None:
    values = np.concatenate(parts) if parts else np.empty(0)
    if not values.size:
        return None
    p50, p99 = np.percentile(values, (50, 99))
    return {"p50": float(p50), "p99": float(p99), "max": float(values.max())}


def _sensor(timing: SensorTiming) -> dict[str, float]:
    reading = timing.reading
    return {
        "age_ms": 1e3 * timing.age_s,
        "worst_age_ms": 1e3 * timing.worst_age_s,
        "skew_ms": 1e3 * timing.skew_s,
        "worst_skew_ms": 1e3 * timing.worst_skew_s,
        "received": reading.received,
        "refused": reading.disordered + reading.future,
        "failures": reading.failures,
    }


def _text(spread: Mapping[str, float] | None, unit: str) -> str:
    if spread is None:
        return "none"
    return f"p50 {spread['p50']:.1f}, p99 {spread['p99']:.1f}, max {spread['max']:.1f} {unit}"
