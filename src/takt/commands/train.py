"""`takt train`: a named recipe, from demonstrations to a checkpoint."""

import json
import math
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import tyro
from tyro.conf import FlagCreatePairsOff

from takt.commands.train_options import (
    RECIPE_NAMES,
    Ablation,
    Blocks,
    Command,
    Finetune,
    NutStation,
    Pretrain,
    Released,
)
from takt.extras import require_extra
from takt.recipes.finetune import BODY_FILE
from takt.recipes.plan import PlannedName, rows, table
from takt.training.plan_config import PlanConfig


def main(argv: list[str]) -> int:
    """Run what the recipe has left to do."""
    if argv and not argv[0].startswith("-"):
        _require_known(argv[0], wants_plan="--plan" in argv)
    command = tyro.cli(Command, args=argv, prog="takt train", config=(FlagCreatePairsOff,))
    match command:
        case NutStation(dry=dry) if dry.plan:
            return _plan("nut-station", dry, command.json)
        case Released():
            return _plan("xr0", command.dry, command.json)
        case NutStation() | Blocks() | Ablation() | Pretrain() | Finetune():
            return _run(command)


def _require_known(recipe: str, *, wants_plan: bool) -> None:
    from takt.types import TaktError

    if recipe not in RECIPE_NAMES:
        near = get_close_matches(recipe, RECIPE_NAMES, n=1)
        hint = f"did you mean `takt train {near[0]}`? " if near else ""
        raise TaktError(f"unknown recipe {recipe!r}; {hint}known: {', '.join(RECIPE_NAMES)}")
    planned = get_args(PlannedName)
    if wants_plan and recipe not in planned:
        raise TaktError(f"{recipe} has no --plan; {' and '.join(planned)} do")


def _run(command: NutStation | Blocks | Ablation | Pretrain | Finetune) -> int:
    extras = {NutStation: "train,sim,data", Ablation: "train,sim,data", Blocks: "train"}
    require_extra(extras.get(type(command), "train,data"), "takt train")
    from takt.recipes.run_folder import only_run

    try:
        with only_run(command.out):
            match command:
                case NutStation():
                    return _nut_station(command)
                case Blocks():
                    return _blocks(command)
                case Ablation():
                    return _ablation(command)
                case Pretrain():
                    return _pretrain(command)
                case Finetune():
                    return _finetune(command)
    except KeyboardInterrupt:
        print(f"takt train: interrupted; {_kept(command.out)}", file=sys.stderr)
        return 130


def _kept(out: Path) -> str:
    from takt.recipes.run_folder import keeps_work

    if not keeps_work(out):
        return "no step was kept yet. Run the same command again, or one with other settings."
    lost = "all but the last minute (ten of a large model)"
    return f"{out} keeps {lost}. Run the same command again to go on."


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
    config.dry.require_unasked()
    from takt.recipes import nut_station as recipe

    policy = recipe.run(
        recipe.scaled(recipe.nut_station(config.contract), config.scale),
        config.out,
        episodes=recipe.EPISODES if config.episodes is None else config.episodes,
        corrections=recipe.CORRECTIONS if config.corrections is None else config.corrections,
        ranks=config.ranks,
        watch=config.watch,
        log=lambda line: print(line, flush=True),
        asked={"--scale": config.scale, "--contract": config.contract},
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
        asked={
            "--scale": config.scale,
            "--words": config.words,
            "--co-training": config.co_training,
            "--seed": config.seed,
        },
    )
    return _tell(policy, as_json=config.json)


def _ablation(command: Ablation) -> int:
    """Train and score what is missing, then print the table."""
    _require_sane(command.config.scale)
    from takt.datasets.atomic import write_atomically
    from takt.recipes.ablation import run
    from takt.recipes.ablation_table import CAVEATS, show, table

    cells = table(run(command.config, command.out, lambda line: print(line, flush=True)))
    found = {"cells": [cell.to_json() for cell in cells], "caveats": CAVEATS}
    write_atomically(command.out / "ablation.json", json.dumps(found, indent=1).encode())
    print(show(cells))
    if command.json:
        print(json.dumps(found))
    return 0


def _pretrain(command: Pretrain) -> int:
    from takt.recipes.pretrain import run

    policy = run(
        command.config,
        mixture=command.mixture,
        out=command.out,
        ranks=command.ranks,
        watch=command.watch,
        log=lambda line: print(line, flush=True),
    )
    return _tell(policy, as_json=command.json)


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
        if left_out := validation.get("left_out_conversations"):
            print(f"conversations: {left_out}")
        print(f"checkpoint: {policy}")
    if config.json:
        print(json.dumps(result))
    return 0


def _error_line(validation: dict[str, Any]) -> str:
    seen = f"{validation['trained_error_by_step_std'][0]:.2f} on frames trained on"
    if "error_by_step_std" not in validation:  # nothing was held out, or nothing of it can be read
        return f"open-loop error of the first action, in standard deviations: {seen}"
    ours, mean = (
        validation[key][0] for key in ("error_by_step_std", "mean_action_error_by_step_std")
    )
    return (
        f"open-loop error of the first action, in standard deviations: {seen}, {ours:.2f} on "
        f"{validation['frames']} held-out frames ({mean:.2f} for the mean action)"
    )
