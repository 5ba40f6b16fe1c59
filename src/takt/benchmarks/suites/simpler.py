"""SimplerEnv: Google robot (Visual Matching, Variant Aggregation) and WidowX.

Protocol: the published scripts, as the released checkpoints were evaluated on the fork
allenzren/SimplerEnv (reference simulators.md, section 5), which is not on PyPI.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from takt.benchmarks.suites.checkout import checkout_of, commit_of
from takt.benchmarks.suites.selection import numbers, select
from takt.benchmarks.suites.simpler_arena import use_box_arena
from takt.benchmarks.suites.simpler_checks import (
    ASSETS,
    check_source,
    has_gpu,
    limitations,
    missing_prerequisites,
    missing_stages,
    source_paths,
)
from takt.benchmarks.suites.simpler_protocol import Configuration, configurations, tasks
from takt.benchmarks.suites.simpler_robots import GOOGLE, WIDOWX
from takt.benchmarks.suites.simpler_scene import Environment, SimplerScene, build_options
from takt.benchmarks.suites.suite import SuiteError, Trial

__all__ = [
    "GOOGLE_SPEC",
    "SPEC",
    "Simpler",
    "check_source",
    "limitations",
    "missing_prerequisites",
    "source_paths",
]

SPEC = WIDOWX.spec
GOOGLE_SPEC = GOOGLE.spec
_PACKAGE = "mani_skill2_real2sim"
_PACKAGES = ("sapien", "gymnasium", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Simpler:
    """Tasks by their published configurations.

    Attributes:
        protocol: Google robot by Visual Matching (vm) or Variant Aggregation (va), or widowx.
        tasks: Names, their ids, ranges of ids, or `all`.
        configurations: Numbers and ranges, or `all`; tasks that have fewer play those they have.
        repeats: Of each configuration; 6 with widowx are the released 144 trials a task.
        shader: Of the drawer tasks. `rt` is the published ray tracing, for an NVIDIA GPU; `raster`
            looks slightly different.
        arena: `original` stages, or a plain `box` table where their files are missing.
        seed: Of the policies' noise. How scenes begin is the protocol's.
    """

    name: ClassVar[str] = "simpler"

    protocol: Literal["vm", "va", "widowx"] = "widowx"
    tasks: str = "all"
    configurations: str = "all"
    repeats: int = 1
    shader: Literal["rt", "raster"] = "rt"
    arena: Literal["original", "box"] = "original"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no trial could be made of."""
        if self.repeats < 1:
            raise SuiteError(f"simpler repeats: expected 1 or more, got {self.repeats}; raise it")

    @property
    def body(self) -> str:
        """What this module calls the spec of the protocol's robot."""
        return "SPEC" if self.protocol == "widowx" else "GOOGLE_SPEC"

    @property
    def label(self) -> str:
        """`simpler-vm` has the published stages and ray tracing; what differs from it follows."""
        chosen = [one for task in self._chosen() for one in configurations(self.protocol, task)]
        boxed = self.arena == "box" and any(one.stage is not None for one in chosen)
        stand_in = ("-approx" if self.protocol == "va" else "-standin") if boxed else ""
        rastered = self.shader == "raster" and any(one.ray_traced for one in chosen)
        return f"simpler-{self.protocol}{stand_in}{'+raster' if rastered else ''}"

    @property
    def notes(self) -> Sequence[str]:
        """What a reader of the figures must know."""
        robot = WIDOWX if self.protocol == "widowx" else GOOGLE
        camera = robot.spec.cameras[0]
        chosen = self._chosen()
        counts = [f"{task} {len(self._numbers(task))}" for task in chosen]
        box = ["stages are replaced by a plain box table of guessed extent"]
        return (
            *(box if "standin" in self.label or "approx" in self.label else []),
            f"{robot.spec.rate_hz:g} Hz, success at any step; distinct configurations: "
            f"{', '.join(counts)}, each played {self.repeats} times",
            f"images resized to {camera.width} x {camera.height} (Lanczos); a checkpoint's crop of "
            ".95 and its replanning after 4 steps are the policy's",
            "gripper not sticky; rotations are converted from roll, pitch, yaw to axis times angle",
        )

    @property
    def longest_chain(self) -> int:
        """One task a trial."""
        return 1

    def trials(self) -> Sequence[Trial]:
        """Every chosen configuration of every chosen task, and again.

        Raises:
            SuiteError: an unknown task, or numbers out of range.
        """
        return [trial for task in self._chosen() for trial in self._trials_of(task)]

    def groups(self) -> Mapping[str, Sequence[str]]:
        """Opening and closing drawers count as one in the Google robot's mean."""
        drawers = [task for task in ("open_drawer", "close_drawer") if task in self._chosen()]
        return {"drawer": drawers} if drawers else {}

    def open(self, task: str) -> SimplerScene:
        """Make ready to build the environments of `task`.

        Raises:
            SuiteError: an unknown task; the simulator, a stage or a GPU is missing.
        """
        wanted = self._of(select(task, tasks(self.protocol))[0])
        if self.shader == "rt" and any(one.ray_traced for one in wanted) and not has_gpu():
            raise SuiteError(
                f"simpler {task}: the published ray tracing hangs without an NVIDIA GPU; play with "
                "--shader raster, which is labelled +raster"
            )
        gymnasium, assets = _import_simulator()
        self._prepare_arena(assets, wanted)
        photos = str(assets / "real_inpainting")

        def build(one: Configuration) -> Environment:
            options = build_options(one, photos=photos, ray_traced=self.shader == "rt")
            return gymnasium.make(one.environment, **options)

        return SimplerScene(task.replace("_", " "), wanted, build, _resize)

    def versions(self) -> Mapping[str, str]:
        """Packages, and how it renders."""
        found = {package: version(package) for package in _PACKAGES}
        commit = commit_of(checkout_of(_PACKAGE, "simpler"))
        return {**found, _PACKAGE: commit, "shader": self.shader, "arena": self.arena}

    def _chosen(self) -> list[str]:
        return select(self.tasks, tasks(self.protocol))

    def _of(self, task: str) -> list[Configuration]:
        return configurations(self.protocol, task)

    def _trials_of(self, task: str) -> Iterator[Trial]:
        every = self._of(task)
        for repeat, number in product(range(self.repeats), self._numbers(task)):
            index = repeat * len(every) + number
            seed, configuration = self.seed + index, every[number].name
            yield Trial(task=task, index=index, seed=seed, configuration=configuration)

    def _numbers(self, task: str) -> list[int]:
        """Those chosen of the task's configurations."""
        count = len(self._of(task))
        if self.configurations.strip() == "all":
            return list(range(count))
        most = max(len(self._of(every)) for every in self._chosen())
        return [number for number in numbers(self.configurations, most - 1) if number < count]

    def _prepare_arena(self, assets: Path, wanted: Sequence[Configuration]) -> None:
        if self.arena == "box":
            scenes = import_module(f"{_PACKAGE}.envs.custom_scenes.base_env")
            use_box_arena(scenes.CustomSceneEnv, import_module("sapien.core").Pose)
            return
        stages = [one.stage for one in wanted if one.stage is not None]
        if missing := missing_stages(assets, stages):
            raise SuiteError(
                f"expected the stages {', '.join(map(str, missing))}, found none; fetch them with "
                "ManiSkill2_real2sim/data, or play with --arena box, which the label tells"
            )


def _import_simulator() -> tuple[Any, Path]:
    """Gymnasium with SimplerEnv's environments registered, and the folder of their assets."""
    os.environ.setdefault(ASSETS, str(checkout_of(_PACKAGE, "simpler") / "data"))
    try:
        import_module(f"{_PACKAGE}.envs")
        return import_module("gymnasium"), Path(os.environ[ASSETS]).expanduser()
    except Exception as error:  # SAPIEN's renderer fails in ways of its own
        named = missing_prerequisites()
        raise SuiteError(
            f"expected the simulator of simpler in {sys.prefix}, got {type(error).__name__}: "
            f"{error}; {'missing: ' + '; '.join(named) if named else 'make its environment again'}"
        ) from error


def _resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    cv2 = import_module("cv2")
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LANCZOS4)
