"""The nut station's policy: XR-0 nano from demonstrations, trained to act while it thinks."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from takt.training.pipeline import TrainingConfig

EPISODES = 430
CORRECTIONS = 150
CORRECTIONS_SEED = 50_000


def nut_station() -> "TrainingConfig":
    """What the shipped checkpoint was trained with (docs/LOG.md has the measurements).

    T = 16 actions (.53 s), T_e = 6: with d = 3 ticks (80 ms), d <= T_e <= T - d.
    """
    from takt.policies.xr0.presets import nano
    from takt.training.loop import LoopConfig
    from takt.training.pipeline import Grounding, TrainingConfig

    return TrainingConfig(
        model=nano(),
        horizon=16,
        execute=6,
        candidates=4,
        draws=4,
        max_prefix=6,
        grounding=Grounding(
            key="annotation.points",
            points_per_view=4,
            # Ego: left nut, left pin, right nut, right pin; then each wrist's four points.
            mirror=(2, 3, 0, 1, 8, 9, 10, 11, 4, 5, 6, 7),
        ),
        plan_key="annotation.plan",
        choice=LoopConfig(steps=2000, batch_size=64, seed=0),
        expert=LoopConfig(steps=900, batch_size=64, seed=1),
        post=LoopConfig(steps=700, batch_size=64, seed=2, lr=4e-4),
        refine=LoopConfig(steps=2000, batch_size=64, seed=3, lr=4e-4),
    )


def scaled(config: "TrainingConfig", scale: float) -> "TrainingConfig":
    """The same recipe with `scale` times the steps in every stage."""
    loops = {name: getattr(config, name) for name in ("choice", "expert", "post", "refine")}
    shorter = {
        name: replace(loop, steps=max(1, round(loop.steps * scale))) for name, loop in loops.items()
    }
    return replace(config, **shorter)


def run(
    config: "TrainingConfig",
    out: Path,
    *,
    episodes: int,
    corrections: int,
    ranks: int,
    log: Callable[[str], None],
) -> Path:
    """Demonstrate, train, correct, refine; return the checkpoint's folder. Resumes where it was."""
    from takt.recipes.corrections import correct
    from takt.recipes.demonstrations import record
    from takt.training.parallel import launch

    def show(done: int, seed: int) -> None:
        if done % 10 == 0:
            log(f"  {done} episodes (seed {seed})")

    data, corrected = out / "data", out / "corrections"
    log(f"demonstrations: {episodes} in {data}")
    record(data, episodes, 0, ranks, show)
    if not (out / "draft" / "model.safetensors").exists():
        launch(_train, ranks, config, out)
    log(f"corrections: {corrections} in {corrected}")
    attempt = partial(correct, checkpoint=out / "draft")
    record(corrected, corrections, CORRECTIONS_SEED, ranks, show, attempt)
    launch(_refine, ranks, config, out)
    return out / "policy"


def _train(config: "TrainingConfig", out: Path) -> None:
    """One rank."""
    from takt.embodiments.nut_station.spec import SPEC
    from takt.training.pipeline import train
    from takt.training.progress import Progress

    with Progress() as progress:
        train(config, SPEC, out / "data", out, progress.report)


def _refine(config: "TrainingConfig", out: Path) -> None:
    """One rank."""
    from takt.embodiments.nut_station.spec import SPEC
    from takt.training.pipeline import refine
    from takt.training.progress import Progress

    with Progress() as progress:
        refine(config, SPEC, (out / "data", out / "corrections"), out, progress.report)
