"""What is recorded of a training: a file of lines per stage. Torch is not imported here."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from takt.datasets.atomic import write_atomically

NAME = "metrics.jsonl"
EVERY = 10  # steps a line: running means hardly change faster


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """After a step: running means of the named losses and the pace."""

    step: int
    steps: int
    losses: Mapping[str, float]
    samples_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """The averaged weights after `step` on frames that are not trained on.

    Attributes:
        frames: How many were planned from.
        losses: The stage's own; `loss` is what training minimises.
        error_by_step: Mean absolute open-loop error by step of the chunk, in standard deviations;
            None where no frame has so many steps left. Empty while no action is learnt by flow.
        mean_action_by_step: The same for a policy that always answers the mean action.
    """

    step: int
    frames: int
    losses: Mapping[str, float]
    error_by_step: tuple[float | None, ...] = ()
    mean_action_by_step: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollouts:
    """The averaged weights after `step` at work; `low` and `high` bound the 95 % interval."""

    step: int
    successes: int
    attempts: int
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Something that goes wrong, and what to do."""

    step: int
    message: str


Metric = StepReport | Validation | Rollouts | Alarm
_KINDS: Mapping[str, type[Metric]] = {
    "step": StepReport,
    "validation": Validation,
    "rollouts": Rollouts,
    "alarm": Alarm,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A metric and when it was written, in seconds of Unix time."""

    stamp: float
    metric: Metric

    def to_json(self) -> str:
        """One line of the file."""
        kind = next(name for name, known in _KINDS.items() if isinstance(self.metric, known))
        return json.dumps({"kind": kind, "stamp": round(self.stamp, 3), **asdict(self.metric)})

    @classmethod
    def of_json(cls, text: str) -> "Line":
        """What `to_json` gave.

        Raises:
            ValueError, KeyError, TypeError: it is something else.
        """
        facts = json.loads(text)
        kind, stamp = _KINDS[facts.pop("kind")], float(facts.pop("stamp"))
        lists = {name: tuple(value) for name, value in facts.items() if isinstance(value, list)}
        return cls(stamp=stamp, metric=kind(**{**facts, **lists}))


def read_lines(path: Path) -> list[Line]:
    """What is recorded, up to a line that a kill or power cut tore; none without the file."""
    lines: list[Line] = []
    if not path.exists():
        return lines
    for text in path.read_text(errors="replace").splitlines():
        try:
            lines.append(Line.of_json(text))
        except (ValueError, KeyError, TypeError):
            break
    return lines


def is_kept(metric: Metric) -> bool:
    """Whether it has a line: every `EVERY` steps, a stage's first and last step, all else."""
    if not isinstance(metric, StepReport):
        return True
    return metric.step % EVERY == 0 or metric.step in (1, metric.steps)


class MetricsFile:
    """A stage's lines, appended as they come: a kill loses at most the one being written.

    A stage that goes on repeats the steps after its last saved state: their lines go, so that no
    step is there twice.
    """

    def __init__(self, folder: Path, step: int) -> None:
        """Go on with `step`: what is there of it and later ones is about to come again."""
        path = folder / NAME
        self.history = [line for line in read_lines(path) if line.metric.step < step]
        text = "".join(line.to_json() + "\n" for line in self.history)
        write_atomically(path, text.encode())
        self._file: IO[str] = path.open("a", encoding="utf-8")

    def add(self, metric: Metric) -> None:
        """Append a line and hand it to the system."""
        self._file.write(Line(stamp=time.time(), metric=metric).to_json() + "\n")
        self._file.flush()

    def close(self) -> None:
        """Idempotent."""
        self._file.close()


def scalars(metric: Metric) -> dict[str, float]:
    """Single numbers by name, as experiment trackers take them."""
    match metric:
        case StepReport():
            return {**metric.losses, "samples_per_s": metric.samples_per_s}
        case Validation():
            found = {f"validation/{name}": value for name, value in metric.losses.items()}
            known = [error for error in metric.error_by_step if error is not None]
            if known:
                found["validation/first_action_error"] = known[0]
                found["validation/action_error"] = sum(known) / len(known)
            return found
        case Rollouts():
            rate = metric.successes / max(1, metric.attempts)
            bounds = {"rollouts/low": metric.low, "rollouts/high": metric.high}
            return {"rollouts/success": rate, "rollouts/attempts": float(metric.attempts), **bounds}
        case Alarm():
            return {}
