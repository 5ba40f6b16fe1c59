"""A public suite without a simulator: walk along a line. It dies on demand."""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

import takt
from takt.benchmarks.suites import registry
from takt.benchmarks.suites.suite import SuiteError, Trial
from takt.datasets.atomic import write_atomically
from takt.types import ActionChunk, ActionSpace, EmbodimentSpec, Observation, Policy

SPEC = EmbodimentSpec(
    name="line",
    rate_hz=10.0,
    cameras=(),
    action_space=ActionSpace(
        names=("dx",),
        units=("1",),
        low=-np.ones(1, np.float32),
        high=np.ones(1, np.float32),
        delta=(True,),
        initial=np.zeros(1, np.float32),
    ),
    slots=(0,),
    relative=(False,),
    instruction="Go right.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Reach 3 in ten steps, as often as `chain` says.

    `dies` names a trial that ends its process, once if `mark` is given. `asks` waits for
    somebody to type. `hangs` puts its process id at `mark` and never starts.
    """

    name: ClassVar[str] = "line"
    tasks: tuple[str, ...] = ("far", "near")
    chain: int = 1
    dies: str = ""
    mark: str = ""
    asks: bool = False
    hangs: bool = False

    @property
    def longest_chain(self) -> int:
        return self.chain

    @property
    def label(self) -> str:
        return "line"

    @property
    def notes(self) -> Sequence[str]:
        return ()

    def trials(self) -> list[Trial]:
        return [
            Trial(task=task, index=index, seed=index, configuration=str(index))
            for task in self.tasks
            for index in range(3)
        ]

    def groups(self) -> dict[str, Sequence[str]]:
        return {}

    def versions(self) -> dict[str, str]:
        if self.hangs:
            write_atomically(Path(self.mark), str(os.getpid()).encode())
            time.sleep(3600)
        return {"line": "1"}

    def open(self, task: str) -> "Track":
        if task == "missing":
            raise SuiteError("the assets are missing; get them")
        return Track(self)


class Track:
    """The scene."""

    def __init__(self, line: Line) -> None:
        self._line, self.blind = line, False

    @property
    def spec(self) -> EmbodimentSpec:
        return SPEC

    def reset(self, trial: Trial) -> None:
        self._x, self._steps = 0.1 * trial.index, 0
        print("what simulators print must not stand between messages")
        if self._line.asks:
            input("Where are the assets? ")
        if trial.key == self._line.dies:
            mark = Path(self._line.mark or "/nowhere")
            if not mark.exists():
                if self._line.mark:
                    mark.touch()
                raise SystemExit("the simulator dies")

    def observe(self) -> Observation:
        return Observation(
            stamp=self._steps * SPEC.dt,
            images={},
            image_stamps={},
            state=np.array([self._x], np.float32),
            instruction=SPEC.instruction,
        )

    def act(self, action: np.ndarray) -> None:
        self._x += float(action[0])
        self._steps += 1

    def stop(self) -> None: ...

    @property
    def stages(self) -> int:
        return min(int(self._x / 3), self._line.chain)

    @property
    def finished(self) -> bool:
        return self.stages == self._line.chain or self._steps == 10 * self._line.chain

    def expert(self) -> Policy:
        return Rightwards()

    def close(self) -> None: ...


class Rightwards:
    """Half a step at a time."""

    def reset(self, seed: int) -> None: ...

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        return ActionChunk(stamp=observation.stamp, dt=SPEC.dt, actions=np.full((1, 1), 0.5))


BOOT = """
import sys
sys.path[:0] = sys.argv[1:]
from fake_suite import register
register()
from takt.benchmarks.suites.worker import main
main()
"""


def register() -> None:
    registry.SUITES["line"] = "fake_suite:Line"


def command() -> list[str]:
    """What starts a simulator of it."""
    paths = [str(Path(__file__).parent), str(Path(takt.__file__).parent.parent)]
    return [sys.executable, "-c", BOOT, *paths]
