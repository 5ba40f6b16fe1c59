"""One run of the ablation: train, then work unseen scenes; killed, it loses a minute at most."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from takt.benchmarks.motion import Motion, measure
from takt.datasets.atomic import write_atomically
from takt.embodiments.nut_station.one_side import AXES, CAMERAS, LEFT_SPEC
from takt.embodiments.nut_station.spec import SPEC
from takt.policies.xr0.checkpoint_files import is_complete
from takt.recipes.job_pool import run_jobs
from takt.runtime.asynchronous import run_asynchronously
from takt.runtime.inference import InlinePolicy
from takt.runtime.latency import PAPER_LATENCY_MS, delay_ticks
from takt.types import TaktError

if TYPE_CHECKING:
    from takt.training.frames import Frames
    from takt.training.loop import StepReport
    from takt.training.pipeline import TrainingConfig

POINTS = 8  # of the ego and the left wrist view
DELAY_TICKS = delay_ticks(PAPER_LATENCY_MS, LEFT_SPEC.rate_hz)
LOG_EVERY_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A training and its score; `folder` keeps its stages, checkpoint, episodes and core time."""

    variant: str
    seed: int
    training: "TrainingConfig"
    data: Path
    cache: Path
    folder: Path
    first_episode: int
    episodes: int

    @property
    def name(self) -> str:
        """As in its folder."""
        return self.folder.name

    def results(self) -> list["Result"]:
        """Those of the episodes that were worked so far, in order of their seeds."""
        path = self.folder / "episodes.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [Result.read(json.loads(line)) for line in lines][: self.episodes]

    def core_s(self) -> float:
        """Processor time of the training so far."""
        path = self.folder / "core_s.json"
        return json.loads(path.read_text()) if path.exists() else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One scene."""

    seed: int
    outcome: str
    motion: Motion

    @property
    def installed(self) -> bool:
        """The nut is on its pin."""
        return self.outcome == "installed"

    @classmethod
    def read(cls, data: dict[str, Any]) -> "Result":
        """What `asdict` gave."""
        motion = Motion(**data["motion"])
        return cls(seed=data["seed"], outcome=data["outcome"], motion=motion)


def perform(runs: Sequence[Run], workers: int, log: Callable[[str], None]) -> None:
    """Do what is left of `runs`, `workers` at once, in processes of one thread each.

    Raises:
        TaktError: a run failed, or its process died.
    """
    open_runs = [run for run in runs if len(run.results()) < run.episodes]
    log(f"{len(runs)} runs, {len(runs) - len(open_runs)} of them done")
    if not open_runs:
        return
    _both_sides(open_runs[0])  # decoded once, before the workers ask for it
    run_jobs(_perform_one, open_runs, workers, log)


def _perform_one(run: Run) -> str:
    """Train and work; returns a line about it."""
    from takt.training.parallel import launch

    try:
        launch(_train, 1, run)  # in this process, on one thread
        _work(run)
    except TaktError as error:
        raise TaktError(f"{run.name}: {error}") from None  # not every class survives the way back
    results = run.results()
    installed = sum(result.installed for result in results)
    return f"{run.name}: {installed}/{len(results)}, {run.core_s() / 60:.1f} core-min of training"


def _train(run: Run) -> None:
    from takt.training.frame_questions import FrameQuestions
    from takt.training.mixture import RobotFrames
    from takt.training.pipeline import train_frames

    if is_complete(run.folder / "policy"):
        return
    left = [left_half(frames) for frames in _both_sides(run)]
    watch = _Watch(run)
    questions = FrameQuestions(left, run.training.grounding.names)
    robots = [RobotFrames(spec=LEFT_SPEC, frames=left)]
    train_frames(run.training, robots, run.folder, watch.report, questions)
    watch.keep()


def _both_sides(run: Run) -> "list[Frames]":
    from takt.training.frame_cache import load_frames

    key, plan_key = run.training.grounding.key, run.training.plan_key
    return load_frames([run.data], run.cache, SPEC, key, plan_key)


class _Watch:
    """Says how a training goes and keeps its processor time, over interruptions too."""

    def __init__(self, run: Run) -> None:
        self._run, self._before, self._said = run, run.core_s() - time.process_time(), 0.0

    def report(self, stage: str, step: "StepReport") -> None:
        if time.monotonic() - self._said < LOG_EVERY_S:
            return
        self._said = time.monotonic()
        self.keep()
        loss = f"loss {step.losses['loss']:.4f}, {step.samples_per_s:.0f} samples/s"
        print(f"  {self._run.name} {stage} {step.step}/{step.steps} {loss}", flush=True)

    def keep(self) -> None:
        spent = json.dumps(self._before + time.process_time())
        write_atomically(self._run.folder / "core_s.json", spent.encode())


def left_half(frames: "Frames") -> "Frames":
    """The whole station's frames as the left side's, which has an instruction of its own."""
    assert isinstance(frames.images, np.ndarray)
    return replace(
        frames,
        images=frames.images[:, :CAMERAS],
        sizes=frames.sizes[:CAMERAS],
        state=frames.state[:, :AXES],
        actions=frames.actions[:, :AXES],
        points=frames.points[:, :POINTS],
        plans=frames.plans[:, :, :AXES],
        instructions=np.zeros(len(frames), "<U1"),
    )


def _work(run: Run) -> None:
    """The asynchronous policy on each scene that has no line in `episodes.jsonl` yet."""
    from takt.policies.xr0.policy import XR0Policy
    from takt.simulation.nut_station.one_side import OneSide

    policy = XR0Policy.load(run.folder / "policy", LEFT_SPEC, threads=1)
    body, results = OneSide(), run.results()
    for seed in range(run.first_episode + len(results), run.first_episode + run.episodes):
        body.reset(seed)
        policy.reset(seed)
        worker = InlinePolicy(policy)
        trace = run_asynchronously(body, worker, policy.execute_horizon, lambda: body.finished)
        motion = measure(trace, LEFT_SPEC, DELAY_TICKS)
        results.append(Result(seed=seed, outcome=body.finish(), motion=motion))
        lines = "".join(json.dumps(asdict(result)) + "\n" for result in results)
        write_atomically(run.folder / "episodes.jsonl", lines.encode())
