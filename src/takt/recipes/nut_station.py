"""The nut station's policy: XR-0 nano from demonstrations, trained to act while it thinks."""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from takt.processes import require_processes

if TYPE_CHECKING:
    from takt.training.pipeline import TrainingConfig

EPISODES = 430
ROUNDS = 3
CORRECTIONS = 100  # a round
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
        grounding=Grounding(
            key="annotation.points",
            points_per_view=4,
            # Ego: left nut, left pin, right nut, right pin; then each wrist's four points.
            mirror=(2, 3, 0, 1, 8, 9, 10, 11, 4, 5, 6, 7),
            names=("left nut", "left pin", "right nut", "right pin"),
        ),
        plan_key="annotation.plan",
        choice=LoopConfig(steps=2000, batch_size=64, bf16=True, seed=0),
        expert=LoopConfig(steps=500, batch_size=64, bf16=True, seed=1),
        post=LoopConfig(steps=1300, batch_size=64, bf16=True, seed=2, lr=6e-4),
        refine=LoopConfig(steps=1800, batch_size=64, bf16=True, seed=3, lr=4e-4),
    )


def scaled(config: "TrainingConfig", scale: float) -> "TrainingConfig":
    """The same recipe with `scale` times the steps in every stage."""
    from takt.training.pipeline import STAGES

    loops = {name: getattr(config, name) for name in (*STAGES, "refine")}
    shorter = {
        name: replace(loop, steps=max(1, round(loop.steps * scale)))
        for name, loop in loops.items()
        if loop
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
    """Demonstrate, train, then correct and refine in rounds; returns the last checkpoint's folder.

    Each round's corrections come from the round before. Resumes where it was, on any number of
    ranks. Under torchrun every rank calls it.
    """
    from takt.recipes.corrections import correct
    from takt.recipes.demonstrations import record
    from takt.recipes.run_folder import claim
    from takt.training.parallel import join, launch, on_first_rank

    require_processes("--ranks", ranks)

    def show(done: int, seed: int) -> None:
        if done % 10 == 0:
            log(f"  {done} episodes (seed {seed})")

    join()
    asked = {"episodes": episodes, "corrections": corrections}
    on_first_rank(claim, out, {**asked, "training": asdict(config)})
    data, cache = [out / "data"], out / "frames"
    log(f"demonstrations: {episodes} in {data[0]}")
    on_first_rank(record, data[0], episodes, 0, ranks, show)
    policy = out / "first" / "policy"
    if not (policy / "model.safetensors").exists():
        launch(_train, ranks, config, data[0], cache, out / "first")
    for number in range(1, ROUNDS + 1):
        folder = out / f"round-{number}"
        data.append(folder / "corrections")
        log(f"round {number}: {corrections} corrections in {data[-1]}")
        attempt = partial(correct, checkpoint=policy)
        seed = CORRECTIONS_SEED + corrections * (number - 1)  # each attempt is kept
        on_first_rank(record, data[-1], corrections, seed, ranks, show, attempt)
        if not (folder / "policy" / "model.safetensors").exists():
            launch(_refine, ranks, config, tuple(data), cache, policy, folder)
        policy = folder / "policy"
    return policy


def _train(config: "TrainingConfig", data: Path, cache: Path, out: Path) -> None:
    """One rank."""
    from takt.embodiments.nut_station.spec import SPEC
    from takt.training.pipeline import train
    from takt.training.progress import Progress

    with Progress() as progress:
        train(config, SPEC, data, cache, out, progress.report)


def _refine(
    config: "TrainingConfig", data: tuple[Path, ...], cache: Path, start: Path, out: Path
) -> None:
    """One rank."""
    from takt.embodiments.nut_station.spec import SPEC
    from takt.training.pipeline import refine
    from takt.training.progress import Progress

    with Progress() as progress:
        refine(config, SPEC, data, cache, start, out, progress.report)
