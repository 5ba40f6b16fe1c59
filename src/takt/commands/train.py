"""`takt train`: a named recipe, from demonstrations to a checkpoint."""

import json
from collections.abc import Callable
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
    """Run folder; the checkpoint ends in OUT/policy."""
    data: Path | None = None
    """Dataset folder; recorded into OUT/data if not given."""
    episodes: int | None = None
    """Demonstrations to record; the recipe's number by default."""
    scale: float = 1.0
    """Multiplies every stage's steps; below 1 for a quick look."""
    ranks: int = 2
    """Training processes, one core each."""
    json: bool = False
    """Print one JSON object as the last line."""


def main(argv: list[str]) -> int:
    """Record what is missing, then run every stage."""
    config = tyro.cli(TrainConfig, args=argv, prog="takt train")
    for extra in ("train", "sim", "data"):
        require_extra(extra, "takt train")
    from takt.recipes.nut_station import EPISODES
    from takt.recipes.demonstrations import record
    from takt.training.parallel import launch

    data = config.data or config.out / "data"
    if config.data is None:
        episodes = config.episodes or EPISODES
        print(f"demonstrations: {episodes} in {data}", flush=True)
        record(data, episodes, 0, config.ranks, _show_recording(episodes))
    launch(_train, config.ranks, data, config.out, config.scale)
    print(f"checkpoint: {config.out / 'policy'}")
    if config.json:
        print(json.dumps({"checkpoint": str(config.out / "policy")}))
    return 0


def _train(data: Path, out: Path, scale: float) -> None:
    """One rank."""
    from dataclasses import replace

    from takt.embodiments import embodiment_spec
    from takt.recipes.nut_station import nut_station
    from takt.training.pipeline import STAGES, train
    from takt.training.progress import Progress

    recipe = nut_station()
    loops = {name: getattr(recipe, name) for name in STAGES}
    scaled = {n: replace(c, steps=max(1, round(c.steps * scale))) for n, c in loops.items()}
    with Progress() as progress:
        train(replace(recipe, **scaled), embodiment_spec("nut-station"), data, out, progress.report)


def _show_recording(episodes: int) -> Callable[[int, int], None]:
    def show(done: int, seed: int) -> None:
        if done % 10 == 0 or done == episodes:
            print(f"  episode {done}/{episodes} (seed {seed})", flush=True)

    return show
