"""Reach the block that is named: words first, then acting, from pictures alone.

The toy shows at nano size on a laptop what the paper shows at 4.7 B: vision-language data, then
choice pre-training with such data beside it, then the action expert, then everything.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from takt.benchmarks.blocks import reached
from takt.benchmarks.wilson import wilson
from takt.embodiments.blocks import SPEC
from takt.policies.xr0.checkpoint_files import is_complete
from takt.processes import require_processes
from takt.recipes.watch import STANDARD, Watch, WatchConfig
from takt.runtime.inference import InlinePolicy
from takt.seeds import VALIDATION_BEGIN, Split, require_split
from takt.simulation.blocks.questions import converse
from takt.simulation.blocks.scene import draw, random_scene
from takt.simulation.blocks.table import instruction, plan

if TYPE_CHECKING:
    from takt.training.frames import Frames
    from takt.training.metrics import Rollouts
    from takt.training.pipeline import TrainingConfig

SCENES = 40_000
VALIDATION_SCENES = 256
HORIZON = 10
DRAWN = "done"  # says how many scenes the frames beside it are of


def blocks() -> "TrainingConfig":
    """For two cores; docs/LOG.md has the measurements."""
    from takt.policies.xr0.presets import nano
    from takt.training.loop import LoopConfig
    from takt.training.pipeline import Grounding, TrainingConfig

    return TrainingConfig(
        model=nano(),
        horizon=HORIZON,
        execute=5,
        candidates=4,
        draws=4,
        grounding=Grounding(key="", points_per_view=0, mirror=()),
        plan_key=None,
        co_trained=("choice", "post"),
        words=LoopConfig(steps=5000, batch_size=64, bf16=True, seed=0, final_ratio=0.1),
        choice=LoopConfig(steps=3000, batch_size=64, bf16=True, seed=1, lr=5e-4),
        expert=LoopConfig(steps=2000, batch_size=64, bf16=True, seed=2),
        post=LoopConfig(steps=1000, batch_size=64, bf16=True, seed=3, lr=3e-4),
        refine=LoopConfig(steps=0, batch_size=64),
    )


def varied(
    config: "TrainingConfig", *, scale: float, words: bool, co_training: bool, seed: int
) -> "TrainingConfig":
    """The recipe with `scale` times the steps, without some of its vision-language data."""
    from takt.training.pipeline import STAGES

    loops = {}
    for name in STAGES:
        loop = getattr(config, name)
        steps = max(1, round(loop.steps * scale))
        loops[name] = replace(loop, steps=steps, seed=loop.seed + 10 * seed)
    loops["words"] = loops["words"] if words else None
    co_trained = config.co_trained if co_training else ()
    return replace(config, **loops, co_trained=co_trained, seed=seed)


def reach_frames(scenes: int, first_seed: int = 0, split: Split = "training") -> "Frames":
    """One frame of each scene: the tip anywhere, and the straight way to the block named.

    Raises:
        SeedError: a seed is not of `split`.
    """
    from takt.training.frames import Frames

    require_split(first_seed, scenes, split)
    images, states, plans, words = [], [], [], []
    for seed in range(first_seed, first_seed + scenes):
        rng = np.random.default_rng(seed)
        scene, tip = random_scene(rng), rng.uniform(0, 1, 2)
        target = scene.blocks[0]
        images.append(draw(scene, tip))
        states.append(tip)
        plans.append(plan(tip, np.array(target.centre), HORIZON))
        words.append(instruction(target.colour))
    chunks = np.stack(plans)
    camera = SPEC.cameras[0]
    return Frames(
        images=np.stack(images)[:, None],
        sizes=np.array([[camera.height, camera.width]]),
        state=np.array(states, np.float32),
        actions=chunks[:, 0],
        points=np.zeros((scenes, 0, 2), np.float32),
        plans=chunks,
        last=np.arange(scenes),
        instructions=np.array(words),
    )


def run(
    config: "TrainingConfig",
    out: Path,
    *,
    scenes: int,
    ranks: int,
    log: Callable[[str], None],
    watch: WatchConfig = STANDARD,
    asked: Mapping[str, object] | None = None,
) -> Path:
    """Draw the scenes and train; returns the checkpoint's folder. Resumes where it was.

    `asked` are the options that `config` follows from, for messages.
    """
    from takt.recipes.run_folder import claim
    from takt.training.parallel import join, launch, on_first_rank

    require_processes("--ranks", ranks)
    watch.require()
    join()
    settings = {"scenes": scenes, "training": asdict(config), "asked": asked or {}}
    on_first_rank(claim, out, settings)
    frames, policy = out / "frames", out / "policy"
    on_first_rank(_draw, scenes, frames, log)
    if not is_complete(policy):
        launch(_train, ranks, config, frames, out, watch)
    return policy


def _draw(scenes: int, folder: Path, log: Callable[[str], None]) -> None:
    drawn = folder / DRAWN
    if drawn.exists() and drawn.read_text() == f"{scenes}":
        return
    log(f"drawing {scenes} scenes")
    drawn.unlink(missing_ok=True)
    reach_frames(scenes).save(folder)
    drawn.write_text(f"{scenes}")


def _train(config: "TrainingConfig", frames: Path, out: Path, watch: WatchConfig) -> None:
    """One rank."""
    from takt.training.frames import Frames
    from takt.training.measures import Measures
    from takt.training.mixture import RobotFrames
    from takt.training.pipeline import train_frames

    with Watch(watch, out, out) as watched:
        measures = Measures(
            held_out=reach_frames(VALIDATION_SCENES, VALIDATION_BEGIN, "validation"),
            validate_every=watch.validate_every,
            attempts=partial(_reach, watch.rollouts),
            rollout_every=watch.rollout_every,
            record=watched.record,
        )
        data = [Frames.map(frames)]
        robots = [RobotFrames(spec=SPEC, frames=data)]
        train_frames(config, robots, out, watched.report, converse, measures)


def _reach(scenes: int, policy: Path, step: int) -> "Rollouts":
    """How often the policy ends on the block named in unseen scenes, after those of validation."""
    from takt.policies.xr0.policy import XR0Policy
    from takt.training.metrics import Rollouts

    first = VALIDATION_BEGIN + VALIDATION_SCENES
    require_split(first, scenes, "validation")
    loaded = XR0Policy.load(policy, SPEC, threads=1)
    seeds = range(first, first + scenes)
    found = wilson(reached(InlinePolicy(loaded), loaded.execute_horizon, seeds), scenes)
    return Rollouts(step=step, successes=found.k, attempts=found.n, low=found.lo, high=found.hi)
