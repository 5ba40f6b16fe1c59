"""Training on two ranks beside one process, and after `kill -9` at a random moment.

The nano model on random frames of the station. First: the largest difference of any weight after
ten steps of SGD, the global batch being the same. Then: a training on two ranks is killed at a
random moment and finished by two ranks, or by one process. The losses of all its steps must be
those of an uninterrupted run; its weights (averaged, as a stage leaves them) are compared too.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro

from takt.embodiments.nut_station.spec import SPEC
from takt.extras import missing_modules
from takt.policies.xr0.model import XR0
from takt.policies.xr0.processor import XR0Processor
from takt.policies.xr0.tokenizer import build_tokenizer
from takt.recipes.nut_station import nut_station
from takt.training.batches import Batcher
from takt.training.checkpoint import saved_step
from takt.training.engine import Engine, Replicated, Sharded, ZeRO2
from takt.training.frames import stack_episodes
from takt.training.loop import LoopConfig, StepReport, train_stage
from takt.training.parallel import launch, rank
from takt.training.pipeline import TrainingConfig, build_stage, fit
from takt.training.stage import Stage
from takt.transforms.actions import ActionTransform
from takt.transforms.slots import Slots
from takt.transforms.states import StateTransform
from takt.types import Episode

SAME_BATCH = LoopConfig(
    steps=10, batch_size=8, optimiser="sgd", lr=0.1, warmup=1, ema_decay=0.0, save_every_s=1e9
)
KILLED = LoopConfig(steps=16, batch_size=8, save_every_s=0.2)
WEIGHT_TOLERANCE = LOSS_TOLERANCE = 1e-6
ENGINES: dict[str, Engine] = {
    "replicated": Replicated(),
    "sharded": Sharded(),
    "sharded, recomputing": Sharded(recompute=True),
    "replicas of shards": Sharded(replicas=2),
}
if not missing_modules("deepspeed"):
    ENGINES["deepspeed"] = ZeRO2()


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Measure both."""

    kills: int = 3
    """Trainings that are killed."""
    seed: int = 0
    """Of the moments."""
    json: bool = False
    """Print one JSON object as the last line."""
    child: tuple[int, Path] | None = None
    """Ranks and folder of a training to be killed; what the fresh process runs."""


def episode(seed: int, config: TrainingConfig, ticks: int = 20) -> Episode:
    """Random images, a random walk of the axes."""
    rng, axes = np.random.default_rng(seed), len(SPEC.action_space.names)
    walk = np.cumsum(rng.normal(0, 0.02, (ticks + 1, axes)), axis=0).astype(np.float32)
    stamps = np.arange(ticks) * SPEC.dt
    images = {
        camera.name: rng.integers(0, 256, (ticks, camera.height, camera.width, 3)).astype(np.uint8)
        for camera in SPEC.cameras
    }
    points = 2 * len(SPEC.cameras) * config.grounding.points_per_view
    return Episode(
        embodiment=SPEC.name,
        instruction=SPEC.instruction,
        rate_hz=SPEC.rate_hz,
        stamps=stamps,
        images=images,
        image_stamps=dict.fromkeys(images, stamps),
        state=walk[:-1],
        actions=walk[1:],
        extras={config.grounding.key: rng.uniform(-1.2, 1.2, (ticks, points)).astype(np.float32)},
    )


def problem(name: str) -> tuple[Stage, Batcher]:
    """A stage with the same weights every time, and its batches; episodes' tails are padded."""
    config = replace(nut_station(), plan_key=None)
    frames = stack_episodes([episode(k, config) for k in (0, 1)], SPEC, config.grounding.key)
    body = fit([frames], SPEC, config)
    batcher = Batcher(
        [frames],
        SPEC,
        XR0Processor(config.model, build_tokenizer(), [camera.view for camera in SPEC.cameras]),
        ActionTransform.of(SPEC, body.action),
        StateTransform(Slots(SPEC.state_slots, config.model.state_dim), body.state),
        config.grounding.mirror,
    )
    torch.manual_seed(0)
    return build_stage(name, XR0(config.model), config, SPEC), batcher


def train(name: str, loop: LoopConfig, engine: Engine, folder: Path) -> None:
    """Train; every step's running loss goes to `losses.jsonl`, the end to `weights`."""
    stage, batcher = problem(name)

    def report(report: StepReport) -> None:
        with (folder / "losses.jsonl").open("a") as file:
            file.write(json.dumps([report.step, report.losses["loss"]]) + "\n")

    train_stage(stage, batcher, loop, folder / "state", report, engine)
    if rank() == 0:
        torch.save(stage.state_dict(), folder / "weights")


def run(ranks: int, name: str, loop: LoopConfig, engine: Engine, folder: Path) -> Path:
    """To the end, from wherever `folder` is."""
    folder.mkdir(parents=True, exist_ok=True)
    launch(train, ranks, name, loop, engine, folder)
    return folder


def weight_difference(a: Path, b: Path) -> float:
    """Largest, of any weight."""
    ours, theirs = (torch.load(folder / "weights", weights_only=True) for folder in (a, b))
    return max((ours[name] - theirs[name]).abs().max().item() for name in ours)


def losses(folder: Path) -> list[tuple[int, float]]:
    """(step, loss) of every step that was taken, those taken again after a kill included."""
    return [tuple(json.loads(x)) for x in (folder / "losses.jsonl").read_text().splitlines()]


def kill_once(folder: Path, moments: random.Random) -> int:
    """Kill a training on two ranks, all its processes at once; the step it will go on from, or 0.

    The moment is random: some way into the step after a random one.
    """
    folder.mkdir(parents=True)
    last, path = moments.randint(4, KILLED.steps - 4), folder / "losses.jsonl"
    command = [sys.executable, __file__, "--child", "2", str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    while process.poll() is None and not (path.exists() and len(losses(folder)) >= last):
        time.sleep(0.01)
    time.sleep(moments.uniform(0, 0.5))
    os.killpg(process.pid, signal.SIGKILL)
    was_killed = process.wait() == -signal.SIGKILL
    state = saved_step(folder / "state")
    return int(state.name) if state and was_killed else 0


def compare_engines(root: Path) -> list[dict[str, object]]:
    """Two ranks beside one process."""
    found: list[dict[str, object]] = []
    print(f"largest weight difference, 2 ranks and 1 process, {SAME_BATCH.steps} steps of SGD")
    for name in ("choice", "post"):
        one = run(1, name, SAME_BATCH, Replicated(), root / f"{name}-one")
        for title, engine in ENGINES.items():
            two = run(2, name, SAME_BATCH, engine, root / f"{name}-{title}")
            difference = weight_difference(one, two)
            found.append({"stage": name, "engine": title, "difference": difference})
            print(f"  {name:<8} {title:<22} {difference:.1e}", flush=True)
    return found


def compare_killed(root: Path, config: Config) -> list[dict[str, float]]:
    """Uninterrupted beside killed."""
    moments, found = random.Random(config.seed), list[dict[str, float]]()
    whole = {
        ranks: run(ranks, "post", KILLED, Sharded(), root / f"whole-{ranks}") for ranks in (1, 2)
    }
    print(f"killed at random moments of {KILLED.steps} steps of AdamW, then finished by")
    for number in range(config.kills):
        for ranks in (2, 1):
            folder = root / f"killed-{number}-{ranks}"
            resumed, killed = kill_once(folder, moments), losses(folder)[-1][0]
            run(ranks, "post", KILLED, Sharded(), folder)
            expected = dict(losses(whole[ranks]))
            gap = max(abs(loss - expected[step]) for step, loss in losses(folder))
            weights = weight_difference(whole[ranks], folder)
            row: dict[str, float] = {"ranks": ranks, "killed": killed, "resumed": resumed}
            row |= {"loss": gap, "weights": weights}
            found.append(row)
            print(
                f"  {ranks} rank(s): killed after step {killed}, resumed from step {resumed}; "
                f"losses differ by {gap:.1e}, weights by {weights:.1e}",
                flush=True,
            )
    return found


def main(config: Config) -> int:
    """Print both tables; 1 unless all is within the tolerances."""
    if config.child is not None:
        ranks, folder = config.child
        run(ranks, "post", KILLED, Sharded(), folder)
        return 0
    with tempfile.TemporaryDirectory(prefix="takt-ranks-") as folder:
        engines = compare_engines(Path(folder))
        killed = compare_killed(Path(folder), config)
    if config.json:
        print(json.dumps({"engines": engines, "killed": killed, "config": asdict(KILLED)}))
    same = all(float(str(row["difference"])) <= WEIGHT_TOLERANCE for row in engines)
    # Else it only began anew, or had been done.
    resumed = all(0 < row["resumed"] < KILLED.steps for row in killed)
    close = all(row["loss"] <= LOSS_TOLERANCE for row in killed)
    return int(not (same and resumed and close))


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config)))
