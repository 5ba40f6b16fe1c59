"""What each part of the recipe is worth: the station's left side, one part left out at a time.

Every run sees equally many frames and is scored on the same unseen seeds; runs differ in what is
left out and in the seed of their training.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from takt.processes import require_processes
from takt.recipes import nut_station
from takt.seeds import EVALUATION_BEGIN, require_split
from takt.types import TaktError

if TYPE_CHECKING:
    from takt.recipes.ablation_run import Run
    from takt.training.pipeline import TrainingConfig

Variant = Literal[
    "full", "no-vision-language", "no-choice", "causal-mask", "no-offset", "no-reweighting"
]
VARIANTS: tuple[Variant, ...] = get_args(Variant)


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationConfig:
    """How many runs, and how long each."""

    data: Path | None = None
    """Demonstrations of the nut station (OUT/data of its recipe); recorded into OUT/data if left
    out."""
    demonstrations: int = nut_station.EPISODES
    """How many of them to record if DATA is left out."""
    variants: tuple[Variant, ...] = VARIANTS
    """What is left out."""
    seeds: int = 3
    """Trainings of each, from seeds 0, 1, …"""
    episodes: int = 100
    """Unseen scenes that each policy is scored on, the same for all."""
    scale: float = 1.0
    """Multiplies every stage's steps; below 1 for a quick look."""
    workers: int = 2
    """Runs at once, one core each."""


def left_side() -> "TrainingConfig":
    """The whole recipe in 9 to 14 minutes of one core, as estimated in docs/LOG.md."""
    from takt.training.flow_objective import PAPER
    from takt.training.loop import LoopConfig

    station = nut_station.nut_station()
    return replace(
        station,
        draws=2,
        grounding=replace(station.grounding, mirror=()),
        objective=PAPER,
        choice=LoopConfig(steps=650, batch_size=64, bf16=True, seed=0),
        expert=LoopConfig(steps=100, batch_size=64, bf16=True, seed=1),
        post=LoopConfig(steps=350, batch_size=64, bf16=True, seed=2, lr=6e-4),
    )


def without(config: "TrainingConfig", variant: Variant) -> "TrainingConfig":
    """`config` but for one part; as many frames and conversations are seen in all.

    Without the choice stage its frames, and those of the expert on a frozen VLM, which would be
    untrained, go to the stage that trains everything, at the choice stage's rate; its queries for
    image points go with it. Without vision-language data they stay, and teach some of what the
    questions about the left side ask.
    """
    contract, post = config.model.contract, config.post
    choice, expert = config.choice, config.expert
    assert choice is not None
    assert expert is not None
    assert post is not None
    match variant:
        case "full":
            return config
        case "no-vision-language":
            return replace(config, co_trained=())
        case "no-choice":
            steps = choice.steps + expert.steps + post.steps
            ratio = round(config.frames_per_conversation * steps / choice.steps)
            longer = replace(post, steps=steps, lr=choice.lr)
            without = replace(config, choice=None, expert=None, post=longer, co_trained=("post",))
            return replace(without, frames_per_conversation=ratio)
        case "causal-mask":
            contract = replace(contract, name="causal_mask", local_window=None)
        case "no-offset":
            contract = replace(contract, name="no_offset", rope_offset=0)
        case "no-reweighting":
            return replace(config, objective=replace(config.objective, weight=None))
    return replace(config, model=replace(config.model, contract=contract))


def seeded(config: "TrainingConfig", seed: int) -> "TrainingConfig":
    """Other weights and other draws in every stage."""
    from takt.training.pipeline import STAGES

    loops = {name: getattr(config, name) for name in STAGES}
    moved = {
        name: replace(loop, seed=loop.seed + 10 * seed) for name, loop in loops.items() if loop
    }
    return replace(config, **moved, seed=seed)


def runs(config: AblationConfig, data: Path, out: Path) -> "list[Run]":
    """Every run, seed by seed, so that a table cut short is still even."""
    from takt.recipes.ablation_run import Run

    base = nut_station.scaled(left_side(), config.scale)
    return [
        Run(
            variant=variant,
            seed=seed,
            training=seeded(without(base, variant), seed),
            data=data,
            cache=out / "frames",
            folder=out / f"{variant}-{seed}",
            first_episode=EVALUATION_BEGIN,
            episodes=config.episodes,
        )
        for seed in range(config.seeds)
        for variant in config.variants
    ]


def run(config: AblationConfig, out: Path, log: Callable[[str], None]) -> "list[Run]":
    """Do what is left to do of every run; returns all of them. Resumes where it was.

    Raises:
        TaktError: nothing to compare, or `out` holds an ablation with other settings.
    """
    from takt.datasets.lerobot import LeRobotDataset
    from takt.recipes.ablation_run import perform
    from takt.recipes.demonstrations import record
    from takt.recipes.run_folder import claim

    require_processes("--workers", config.workers)
    require_split(EVALUATION_BEGIN, config.episodes, "evaluation")
    once = len(set(config.variants)) == len(config.variants)
    if config.seeds < 1 or config.episodes < 1 or not config.variants or not once:
        raise TaktError(
            f"expected at least one seed, episode and variant, each variant once, got --seeds "
            f"{config.seeds} --episodes {config.episodes} --variants {' '.join(config.variants)}"
        )
    data = config.data or out / "data"
    if config.data is not None:
        LeRobotDataset.open(data)
    recorded = config.demonstrations if config.data is None else None
    settings = {"data": str(data.resolve()), "demonstrations": recorded, "scale": config.scale}
    claim(out, {**settings, "episodes": config.episodes, "training": asdict(left_side())})
    if config.data is None:
        log(f"demonstrations: {config.demonstrations} in {data}")

        def show(done: int, seed: int) -> None:
            if done % 10 == 0:
                log(f"  {done} episodes (seed {seed})")

        record(data, config.demonstrations, 0, config.workers, show)
    planned = runs(config, data, out)
    perform(planned, config.workers, log)
    return planned
