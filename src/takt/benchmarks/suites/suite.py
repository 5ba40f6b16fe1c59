"""What a public benchmark is to takt: options, trials, and a scene that plays one of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from takt.types import Embodiment, Policy, TaktError


class SuiteError(TaktError):
    """A benchmark that cannot be run as asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One attempt at one task.

    Attributes:
        task: Its name in the suite.
        index: Its number among the trials of its task, from 0.
        seed: Of everything random in it: the simulator's draws and the policy's noise.
        configuration: Names how the scene begins. Trials of a task that share it begin alike, so a
            deterministic policy gains nothing from the second (effective n counts it once).
    """

    task: str
    index: int
    seed: int
    configuration: str

    @property
    def key(self) -> str:
        """Names it within its suite; fit for a file name."""
        return f"{self.task}-{self.index:04d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What came of a trial.

    Attributes:
        trial: Which.
        stages: Successes in a row: 0 or 1, of a chain up to its length.
        steps: Control steps that were executed.
        stalls: Steps with no action due after the first plan.
        cpu_s: Processor seconds of the simulator's process, the building of the scene included.
        attempts: 2 if the simulator died once; with an `error`, all of them did.
        error: Why it could not be played; None if it was. Counted as failure, and listed.
        actions: (step, action) float32, as executed: what a replay plays. None with an error.
    """

    trial: Trial
    stages: int
    steps: int
    stalls: int
    cpu_s: float
    attempts: int = 1
    error: str | None = None
    actions: np.ndarray | None = None


class Scene(Embodiment, Protocol):
    """A simulator that plays trials of one task; lives in the suite's environment.

    `spec.rate_hz` is the suite's control rate, `spec.instruction` the task's; axes that command a
    change have `ActionSpace.delta`.
    """

    blind: bool
    """Set before `reset` for a player that never looks: images need not be rendered."""

    def reset(self, trial: Trial) -> None:
        """Begin `trial`, the protocol's own idle steps included."""

    @property
    def finished(self) -> bool:
        """It succeeded, failed for good, or ran out of steps."""
        ...

    @property
    def stages(self) -> int:
        """See `Played.stages`."""
        ...

    def expert(self) -> Policy:
        """A scripted player that reads the simulator's state: plans of one action.

        Raises:
            SuiteError: there is none for this task.
        """
        ...

    def close(self) -> None:
        """Let go of the simulator."""


class Suite(Protocol):
    """A frozen dataclass: what was asked for, without the simulator, which `open` imports."""

    name: ClassVar[str]
    """Of the suite and of its environment."""

    @property
    def label(self) -> str:
        """Names the protocol's variant exactly (reference simulators.md, section 8)."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What a reader of the figures must know: stand-ins, renderer, step limits."""
        ...

    @property
    def longest_chain(self) -> int:
        """Tasks in a row that a trial can succeed at; 1 but for chains."""
        ...

    def trials(self) -> Sequence[Trial]:
        """Everything to play, in order.

        Raises:
            SuiteError: an unknown task, or numbers out of range.
        """
        ...

    def groups(self) -> Mapping[str, Sequence[str]]:
        """Tasks by the group that the suite's publications average over; may be empty."""
        ...

    def open(self, task: str) -> Scene:
        """Build the scene of `task`; call in the suite's environment.

        Raises:
            SuiteError: the simulator or its assets are missing or broken; says what to do.
        """
        ...

    def versions(self) -> Mapping[str, str]:
        """Installed versions of what determines the result; call in the suite's environment."""
        ...
