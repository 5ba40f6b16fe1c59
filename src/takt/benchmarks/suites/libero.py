"""LIBERO under the protocol of the released checkpoints, stand-in visuals named where they are."""

import importlib.metadata
import importlib.util
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from takt.benchmarks.suites.libero_files import (
    assets_folder,
    has_stand_ins,
    read_init_states,
    task_names,
)
from takt.benchmarks.suites.libero_perturbation import Kind, Perturbation
from takt.benchmarks.suites.libero_scene import (
    SPEC,
    Eye,
    LiberoScene,
    Rendering,
    build_simulation,
)
from takt.benchmarks.suites.selection import numbers, select
from takt.benchmarks.suites.suite import Scene, SuiteError, Trial

__all__ = ["SPEC", "Libero"]

INIT_STATES = 50
# Of the released evaluation (reference simulators.md, section 3).
MAX_STEPS = {"spatial": 220, "object": 280, "goal": 300, "10": 520, "90": 400}
PACKAGES = ("hf-libero", "robosuite", "mujoco", "bddl", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Libero:
    """Tasks x initial states of one of LIBERO's suites.

    Attributes:
        suite: Which.
        tasks: Ids or names, `0,4`, `0-9` or `all`.
        init_states: Of the 50 that LIBERO ships for each task.
        assets: The folder of the asset tree or of its archive; else $TAKT_ASSETS, else LIBERO's.
        render: `fast` leaves out multisampling and reflections: same states, other pixels.
        perturb: What is changed that a policy should not mind: no part of LIBERO's own protocol.
        seed: Of the policies' noise and of what is perturbed. The simulator's own seed is 7, as
            published.
    """

    name: ClassVar[str] = "libero"

    suite: Literal["spatial", "object", "goal", "10", "90"] = "object"
    tasks: str = "all"
    init_states: str = "0-49"
    assets: str = ""
    render: Rendering = "default"
    perturb: Kind = "none"
    seed: int = 0

    @property
    def label(self) -> str:
        """`libero` only if every picture is LIBERO's own.

        Raises:
            SuiteError: there are no assets.
        """
        kind = "libero-standin" if has_stand_ins(assets_folder(self.assets)) else "libero"
        changed = "" if self.perturb == "none" else f"+{self.perturb}"
        return f"{kind}{changed}{'+fastrender' if self.render == 'fast' else ''}"

    @property
    def notes(self) -> Sequence[str]:
        """Step limit and start; what differs from LIBERO's own pictures and pins."""
        stand_ins = has_stand_ins(assets_folder(self.assets))
        looks = ["stand-in visuals: not comparable with published numbers"] if stand_ins else []
        fast = ["fast render: no multisampling, no reflections"] if self.render == "fast" else []
        other = [f"{self.perturb} perturbed in the manner of LIBERO-Plus, in ranges of ours"]
        return [
            *looks,
            *fast,
            *(other if self.perturb != "none" else []),
            f"libero_{self.suite}: at most {MAX_STEPS[self.suite]} steps after 10 idle ones, "
            "simulator seed 7 before every trial",
            "published numbers: robosuite 1.4.0, mujoco 3.3.6",
        ]

    @property
    def longest_chain(self) -> int:
        """No chains."""
        return 1

    def trials(self) -> Sequence[Trial]:
        """Task by task, each from the chosen initial states.

        Raises:
            SuiteError: an unknown suite or task, or numbers out of range.
        """
        if self.suite not in MAX_STEPS:
            raise SuiteError(
                f"expected a suite of {', '.join(MAX_STEPS)}, got {self.suite!r}; choose one"
            )
        states = numbers(self.init_states, INIT_STATES - 1)
        return [
            Trial(task=task, index=state, seed=self.seed + state, configuration=f"{task}-{state}")
            for task in select(self.tasks, task_names(self.suite))
            for state in states
        ]

    def groups(self) -> Mapping[str, Sequence[str]]:
        """None: a suite is one number."""
        return {}

    def open(self, task: str) -> Scene:
        """Build the scene of `task`.

        Raises:
            SuiteError: LIBERO, its assets or the initial states are missing or broken.
        """
        home, assets = _package_folder(), assets_folder(self.assets)
        place = f"libero_{self.suite}/{task}"
        simulation = build_simulation(home / f"bddl_files/{place}.bddl", assets, self.render)
        return LiberoScene(
            simulation,
            Eye(simulation),
            task=task,
            init_states=read_init_states(home / f"init_files/{place}.pruned_init"),
            max_steps=MAX_STEPS[self.suite],
            perturbation=Perturbation(self.perturb),
        )

    def versions(self) -> Mapping[str, str]:
        """Packages, and what renders."""
        found = {package: importlib.metadata.version(package) for package in PACKAGES}
        return {**found, "MUJOCO_GL": os.environ.get("MUJOCO_GL", "egl")}


def _package_folder() -> Path:
    """Of the installed LIBERO; importing it would ask questions on stdin."""
    spec = importlib.util.find_spec("libero")
    if spec is None or spec.submodule_search_locations is None:
        raise SuiteError("expected hf-libero, found none; run `takt bench setup libero`")
    return Path(next(iter(spec.submodule_search_locations))) / "libero"
