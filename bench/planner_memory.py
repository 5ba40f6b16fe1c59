"""Peak memory of training on a CPU beside what `takt train --plan` predicts of it.

Every figure is of a fresh process that takes two steps through the training loop: `allocator` is
the most that torch's own allocator had handed out (from its memory events), `resident` the growth
of the process (`VmHWM` over `VmRSS` before the model): library buffers, allocator slack and the
file that is written at the end included. A prediction must be within 15 % of the allocator's peak.
Under "sharded" there are two ranks on gloo; the module's own copy of the weights, on a cluster in
host memory, is added.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from torch.profiler import ProfilerActivity, profile

from takt.embodiments.nut_station.spec import SPEC
from takt.policies.xr0.model import XR0
from takt.policies.xr0.presets import OWN_TOKEN_IDS, preset_or_file
from takt.policies.xr0.tokenizer import build_tokenizer
from takt.recipes.nut_station import nut_station
from takt.training.batches import Batch
from takt.training.engine import Replicated, Sharded
from takt.training.frame_questions import FrameQuestions
from takt.training.loop import LoopConfig, train_stage
from takt.training.mixture import CoTraining, conversations_beside
from takt.training.parallel import launch, rank, world_size
from takt.training.pipeline import TrainingConfig, build_stage
from takt.training.plan_recipe import (
    META,
    blank_batch,
    blank_dialogues,
    blank_questions,
    long_conversation,
    on_meta,
)
from takt.training.planner import PlannedEngine, plan_stage
from takt.training.shards import WHOLE, Shard
from takt.training.vision_language import Conversations

TOLERANCE = 0.15
STEPS = 2  # the optimiser's moments are there from the second on


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One training."""

    preset: str
    stage: str = "post"
    batch: int
    """Samples on each rank."""
    bf16: bool = False
    recompute: bool = False
    conversations: bool = False
    """Beside the frames, as many as in the recipe."""
    ranks: int = 1
    """2: sharded."""

    @property
    def engine(self) -> PlannedEngine:
        """Sharded where there are several ranks."""
        if self.ranks > 1:
            return Sharded(recompute=self.recompute)
        return Replicated(recompute=self.recompute)


CASES = (
    Case(preset="nano", batch=64),
    Case(preset="nano", batch=64, bf16=True),
    Case(preset="nano", batch=64, recompute=True),
    Case(preset="nano", stage="choice", batch=64),
    Case(preset="nano", stage="expert", batch=64),
    Case(preset="cpu-bench", batch=4),
    Case(preset="cpu-bench", batch=4, recompute=True),
    Case(preset="cpu-bench", batch=4, ranks=2),
    Case(preset="nano", stage="choice", batch=64, conversations=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Measure and compare."""

    measure: str | None = None
    """Index of a case and what to measure, as in 0:allocator; what the fresh process runs."""
    only: int | None = None
    """Index of the one case to compare."""
    json: bool = False
    """Print one JSON object as the last line."""


class BlankBatches:
    """The same batch every time."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def draw(self, size: int, generator: torch.Generator, shard: Shard = WHOLE) -> Batch:
        """`batch`, whatever is asked."""
        return self._batch


def recipe(case: Case) -> TrainingConfig:
    """The station's, with the case's model."""
    config = nut_station()
    model = preset_or_file(case.preset, config.model.contract)
    return replace(config, model=replace(model, token_ids=OWN_TOKEN_IDS))


def train(case: Case, folder: Path) -> None:
    """Two steps; the state goes to `folder`."""
    config = recipe(case)
    stage = build_stage(case.stage, XR0(config.model), config, SPEC)
    source = BlankBatches(blank_batch(config, SPEC, case.batch, torch.device("cpu")))
    if case.conversations:
        talk = Conversations(questions(config), config.model, build_tokenizer())
        source = CoTraining(source, talk, config.frames_per_conversation)
    loop = LoopConfig(
        steps=STEPS, batch_size=case.batch * world_size(), bf16=case.bf16, save_every_s=1e9
    )
    train_stage(stage, source, loop, folder, lambda report: None, case.engine)


def questions(config: TrainingConfig) -> FrameQuestions:
    """The recipe's; a third of the points is out of view."""
    shape = (256, len(config.grounding.names), 2)
    points = np.random.default_rng(0).uniform(-1.2, 1.2, shape)
    return blank_questions(config, SPEC, points)


def measure(case: Case, what: Literal["allocator", "resident"], out: Path) -> None:
    """The first rank's peak in bytes, into `out`."""
    before = status("VmRSS")
    if what == "allocator":
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
            train(case, out.parent / "state")
        peak = allocator_peak(profiled)
    else:
        train(case, out.parent / "state")
        peak = status("VmHWM") - before
    if rank() == 0:
        out.write_text(str(peak))


def allocator_peak(profiled: profile) -> int:
    """Most bytes handed out at a time since the profile began."""
    assert profiled.profiler is not None
    assert profiled.profiler.kineto_results is not None
    events = [e for e in profiled.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()  # pyright: ignore[reportAttributeAccessIssue]
        peak = max(peak, now)
    return peak


def status(field: str) -> int:
    """A line of /proc/self/status in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise AssertionError(field)


def predict(case: Case) -> int:
    """Bytes."""
    config, words = recipe(case), None
    if case.conversations:
        count = conversations_beside(case.batch, case.ranks, config.frames_per_conversation)
        words = blank_dialogues(config.model, long_conversation(config, SPEC), count, META)
    stage, batch = on_meta(case.stage, config, SPEC, case.batch, words)
    own_copy = sum(p.numel() * 4 for p in stage.parameters()) if case.ranks > 1 else 0
    planned = plan_stage(case.stage, stage, batch, case.engine, case.ranks, bf16=case.bf16)
    return planned.memory.peak + own_copy


def fresh(index: int, what: str) -> int:
    """What a process of its own measures."""
    command = [sys.executable, __file__, "--measure", f"{index}:{what}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout.splitlines()[-1])


def main(config: Config) -> int:
    """Print a row for every case; 1 when a prediction is off by more than the tolerance."""
    if config.measure is not None:
        index, _, what = config.measure.partition(":")
        with tempfile.TemporaryDirectory() as folder:
            case, out = CASES[int(index)], Path(folder) / "peak"
            launch(measure, case.ranks, case, what, out)
            print(out.read_text())
        return 0
    print(f"{'MB':<48} {'predicted':>9} {'allocator':>9} {'error':>6} {'resident':>8}")
    rows = []
    for index, case in enumerate(CASES):
        if config.only not in (None, index):
            continue
        predicted, allocator = predict(case), fresh(index, "allocator")
        row = {"predicted": predicted, "allocator": allocator, "resident": fresh(index, "resident")}
        error = predicted / allocator - 1
        rows.append({**asdict(case), **row, "error": error})
        name = f"{case.preset} {case.stage}, {case.batch} samples"
        extras = {
            "bf16": case.bf16,
            "recompute": case.recompute,
            "conversations": case.conversations,
            "sharded by 2": case.ranks > 1,
        }
        name = ", ".join([name, *(extra for extra, there in extras.items() if there)])
        megabytes = {key: value / 1e6 for key, value in row.items()}
        print(
            f"{name:<48} {megabytes['predicted']:9.1f} {megabytes['allocator']:9.1f} "
            f"{error:+6.1%} {megabytes['resident']:8.0f}",
            flush=True,
        )
    if config.json:
        print(json.dumps({"cases": rows}))
    return int(any(abs(row["error"]) > TOLERANCE for row in rows))


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config)))
