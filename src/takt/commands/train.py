"""`takt train`: a named recipe, from demonstrations to a checkpoint."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from takt.extras import require_extra


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Train a policy. A run that was stopped goes on where it was."""

    recipe: Annotated[Literal["nut-station"], tyro.conf.Positional]
    """Named recipe."""
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
    json: bool = False
    """Print one JSON object as the last line."""


def _require_sane(config: TrainConfig) -> None:
    from takt.types import TaktError

    asked = {
        "episodes": config.episodes,
        "corrections": config.corrections,
        "ranks": config.ranks,
    }
    for name, number in asked.items():
        if number is not None and number < 1:
            raise TaktError(f"expected at least 1, got --{name} {number}; choose more")
    if not config.scale > 0:
        raise TaktError(f"expected a positive share of the steps, got --scale {config.scale}")


def main(argv: list[str]) -> int:
    """Record what is missing, then run every stage."""
    config = tyro.cli(TrainConfig, args=argv, prog="takt train")
    require_extra("train,sim,data", "takt train")
    _require_sane(config)
    from takt.recipes import nut_station as recipe

    policy = recipe.run(
        recipe.scaled(recipe.nut_station(), config.scale),
        config.out,
        episodes=recipe.EPISODES if config.episodes is None else config.episodes,
        corrections=recipe.CORRECTIONS if config.corrections is None else config.corrections,
        ranks=config.ranks,
        log=lambda line: print(line, flush=True),
    )
    print(f"checkpoint: {policy}")
    if config.json:
        print(json.dumps({"checkpoint": str(policy)}))
    return 0
