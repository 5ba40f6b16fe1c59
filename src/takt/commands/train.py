"""`takt train`: a named recipe, from demonstrations to a checkpoint."""

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import FlagCreatePairsOff, arg, subcommand

from takt.extras import require_extra
from takt.recipes.ablation import AblationConfig
from takt.recipes.finetune import BODY_FILE, RECIPES
from takt.recipes.plan import PlannedName, rows, table
from takt.recipes.watch import STANDARD, WatchConfig
from takt.training.finetune_config import FinetuneConfig
from takt.training.plan_config import PlanConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class NutStation:
    """The nut station's policy, from nothing. A run that was stopped goes on where it was."""

    out: Path = Path("out/nut-station")
    """Run folder; holds data, every stage's state and a checkpoint per round."""
    episodes: int | None = None
    """Demonstrations to record; the recipe's number by default."""
    corrections: int | None = None
    """Corrected attempts to record a round; the recipe's number by default."""
    scale: float = 1.0
    """Multiplies every stage's steps; below 1 for a quick look."""
    ranks: int = 2
    """Processes for recording and training, one core each."""
    watch: Annotated[WatchConfig, arg(name="")] = STANDARD
    dry: Annotated[PlanConfig, arg(name="")] = PlanConfig()
    json: bool = False
    """Print one JSON object as the last line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """Reach the block that is named, from pictures. A run that was stopped goes on where it was."""

    out: Path = Path("out/blocks")
    """Run folder; holds the scenes, every stage's state and the checkpoint."""
    scenes: int | None = None
    """Scenes to draw; the recipe's number by default."""
    words: bool = True
    """Learn words before acting, and beside it."""
    co_training: bool = True
    """Keep learning words while the language model learns to act."""
    scale: float = 1.0
    """Multiplies every stage's steps; below 1 for a quick look."""
    seed: int = 0
    """Of weights and draws."""
    ranks: int = 2
    """Processes, one core each."""
    watch: Annotated[WatchConfig, arg(name="")] = STANDARD
    json: bool = False
    """Print one JSON object as the last line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """What each part of the recipe is worth. A run that was stopped goes on where it was."""

    config: Annotated[AblationConfig, arg(name="")]
    out: Path = Path("out/ablation")
    """Folder of all runs and of ablation.json."""
    json: bool = False
    """Print one JSON object as the last line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """The paper's recipe at 4.7 B, for --plan only: its data is not public."""

    dry: Annotated[PlanConfig, arg(name="")] = PlanConfig()
    json: bool = False
    """Print one JSON object as the last line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finetune:
    """Train a checkpoint on a LeRobot dataset. A run that was stopped goes on where it was."""

    data: Path
    """LeRobot dataset, v2.1 or v3.0."""
    config: Annotated[FinetuneConfig, arg(name="")]
    init: Path | None = None
    """Folder of the checkpoint to start from; the shipped nano one by default."""
    body: Path | None = None
    """The body's file (examples/desk_arm.toml); by default OUT/body.toml, which is drafted from the
    data if it is not there."""
    out: Path = Path("out/finetune")
    """Run folder: body.toml, run.json, frames, training state, policy, validation.json."""
    ranks: int = 1
    """Processes, one core each."""
    watch: Annotated[WatchConfig, arg(name="")] = STANDARD
    json: bool = False
    """Print one JSON object as the last line."""


def _named(recipe: str) -> Any:  # noqa: ANN401
    default = Finetune(data=tyro.MISSING, config=RECIPES[recipe], out=Path("out") / recipe)
    return subcommand(recipe, default=default)


Command = (
    Annotated[NutStation, subcommand("nut-station")]
    | Annotated[Blocks, subcommand("blocks")]
    | Annotated[Ablation, subcommand("ablation")]
    | Annotated[Released, subcommand("xr0")]
    | Annotated[Finetune, _named("finetune")]
    | Annotated[Finetune, _named("libero")]
    | Annotated[Finetune, _named("calvin")]
    | Annotated[Finetune, _named("fractal")]
    | Annotated[Finetune, _named("bridge")]
)


def main(argv: list[str]) -> int:
    """Run what the recipe has left to do."""
    command = tyro.cli(Command, args=argv, prog="takt train", config=(FlagCreatePairsOff,))
    match command:
        case NutStation(dry=dry) if dry.plan:
            return _plan("nut-station", dry, command.json)
        case Released():
            return _plan("xr0", command.dry, command.json)
        case NutStation() | Blocks() | Ablation() | Finetune():
            return _run(command)


def _run(command: NutStation | Blocks | Ablation | Finetune) -> int:
    try:
        match command:
            case NutStation():
                require_extra("train,sim,data", "takt train")
                return _nut_station(command)
            case Blocks():
                require_extra("train", "takt train")
                return _blocks(command)
            case Ablation():
                require_extra("train,sim,data", "takt train")
                return _ablation(command)
            case Finetune():
                require_extra("train,data", "takt train")
                return _finetune(command)
    except KeyboardInterrupt:
        print(
            f"takt train: interrupted; {command.out} keeps all but the last minute. "
            "Run the same command again to go on.",
            file=sys.stderr,
        )
        return 130


def _require_sane(scale: float, **counts: int | None) -> None:
    from takt.types import TaktError

    for name, number in counts.items():
        if number is not None and number < 1:
            raise TaktError(f"expected at least 1, got --{name} {number}; choose more")
    if not 0 < scale < math.inf:
        raise TaktError(f"expected a positive share of the steps, got --scale {scale}")


def _plan(recipe: PlannedName, asked: PlanConfig, as_json: bool) -> int:
    from takt.types import TaktError

    require_extra("train", "takt train --plan")
    if not asked.plan:
        raise TaktError(f"expected --plan: the data of {recipe} is not public, it cannot be run")
    found = rows(recipe, asked)
    print(table(recipe, asked, found))
    if as_json:
        print(json.dumps({"stages": [row.to_json() for row in found]}))
    return 0


def _nut_station(config: NutStation) -> int:
    """Record what is missing, then run every stage."""
    counts = {"episodes": config.episodes, "corrections": config.corrections}
    _require_sane(config.scale, ranks=config.ranks, **counts)
    from takt.recipes import nut_station as recipe

    policy = recipe.run(
        recipe.scaled(recipe.nut_station(), config.scale),
        config.out,
        episodes=recipe.EPISODES if config.episodes is None else config.episodes,
        corrections=recipe.CORRECTIONS if config.corrections is None else config.corrections,
        ranks=config.ranks,
        watch=config.watch,
        log=lambda line: print(line, flush=True),
    )
    return _tell(policy, as_json=config.json)


def _blocks(config: Blocks) -> int:
    """Draw what is missing, then run every stage."""
    _require_sane(config.scale, ranks=config.ranks, scenes=config.scenes)
    from takt.recipes import blocks as recipe

    policy = recipe.run(
        recipe.varied(
            recipe.blocks(),
            scale=config.scale,
            words=config.words,
            co_training=config.co_training,
            seed=config.seed,
        ),
        config.out,
        scenes=recipe.SCENES if config.scenes is None else config.scenes,
        ranks=config.ranks,
        watch=config.watch,
        log=lambda line: print(line, flush=True),
    )
    return _tell(policy, as_json=config.json)


def _ablation(command: Ablation) -> int:
    """Train and score what is missing, then print the table."""
    _require_sane(command.config.scale)
    from takt.datasets.atomic import write_atomically
    from takt.recipes.ablation import run
    from takt.recipes.ablation_table import show, table

    cells = table(run(command.config, command.out, lambda line: print(line, flush=True)))
    found = {"cells": [cell.to_json() for cell in cells]}
    write_atomically(command.out / "ablation.json", json.dumps(found, indent=1).encode())
    print(show(cells))
    if command.json:
        print(json.dumps(found))
    return 0


def _tell(policy: Path, *, as_json: bool) -> int:
    print(f"checkpoint: {policy}")
    if as_json:
        print(json.dumps({"checkpoint": str(policy)}))
    return 0


def _finetune(config: Finetune) -> int:
    from takt.recipes.finetune import run

    policy = run(
        config.config,
        data=config.data,
        init=config.init,
        body=config.body,
        out=config.out,
        ranks=config.ranks,
        watch=config.watch,
        log=lambda line: print(line, file=sys.stderr, flush=True),
    )
    body = config.body or config.out / BODY_FILE
    result: dict[str, object] = {"body": str(body), "checkpoint": None, "validation": None}
    if policy is None:
        print(f"body: {body}; correct it and run again with more steps")
    else:
        validation = json.loads((config.out / "validation.json").read_text())
        result |= {"checkpoint": str(policy), "validation": validation}
        print(_error_line(validation))
        if damaged := validation["damaged_episodes"]:
            print(f"episodes: {len(damaged)} damaged ones were left out, see validation.json")
        if damaged := validation.get("damaged_conversations"):
            print(f"conversations: {damaged} damaged rows were drawn and left out")
        print(f"checkpoint: {policy}")
    if config.json:
        print(json.dumps(result))
    return 0


def _error_line(validation: dict[str, Any]) -> str:
    seen = f"{validation['trained_error_by_step_std'][0]:.2f} on frames trained on"
    if not validation["episodes"]:
        return f"open-loop error of the first action, in standard deviations: {seen}"
    ours, mean = (
        validation[key][0] for key in ("error_by_step_std", "mean_action_error_by_step_std")
    )
    return (
        f"open-loop error of the first action, in standard deviations: {seen}, {ours:.2f} on "
        f"{validation['frames']} held-out frames ({mean:.2f} for the mean action)"
    )
