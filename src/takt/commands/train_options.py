"""What can be asked of each recipe of `takt train`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import arg, subcommand

from takt.recipes.ablation import AblationConfig
from takt.recipes.finetune import RECIPES
from takt.recipes.nut_station import ContractName
from takt.recipes.pretrain import PretrainConfig
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
    contract: ContractName = "xr0_posttrain"
    """How the policy goes on from committed actions: XR-0's banded mask, or training-time RTC."""
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
    """Learn words before acting, and beside it; --no-words does not."""
    co_training: bool = True
    """Keep learning words while the language model learns to act; --no-co-training does not."""
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
class Pretrain:
    """Both pre-training stages on your mixture. A run that was stopped goes on where it was."""

    mixture: Path
    """TOML file that lists robot datasets and conversations (takt/datasets/mixture_file.py)."""
    config: Annotated[PretrainConfig, arg(name="")]
    out: Path = Path("out/pretrain")
    """Run folder: frames, every stage's state, the checkpoint, training.html."""
    ranks: int = 1
    """Processes, one core each."""
    watch: Annotated[WatchConfig, arg(name="")] = STANDARD
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


RECIPE_NAMES = ("nut-station", "blocks", "ablation", "pretrain", "xr0", *RECIPES)

Command = (
    Annotated[NutStation, subcommand("nut-station")]
    | Annotated[Blocks, subcommand("blocks")]
    | Annotated[Ablation, subcommand("ablation")]
    | Annotated[Pretrain, subcommand("pretrain")]
    | Annotated[Released, subcommand("xr0")]
    | Annotated[Finetune, _named("finetune")]
    | Annotated[Finetune, _named("libero")]
    | Annotated[Finetune, _named("calvin")]
    | Annotated[Finetune, _named("fractal")]
    | Annotated[Finetune, _named("bridge")]
)
