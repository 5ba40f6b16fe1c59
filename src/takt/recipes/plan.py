"""A recipe's dry run, as `takt train RECIPE --plan` prints it."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from takt.embodiments.nut_station.spec import SPEC as STATION
from takt.recipes import nut_station, xr0
from takt.training.plan_config import CARDS, PlanConfig

if TYPE_CHECKING:
    from takt.training.planner import StagePlan

PlannedName = Literal["nut-station", "xr0"]
_SECONDS_A_DAY = 86_400
_MEMORY = ("weights", "gradients", "optimiser", "average")
_MEMORY += ("gathered", "exchange", "activations", "peak")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One stage: what it takes, the samples of all its runs, and how long they take."""

    stage: "StagePlan"
    samples: int
    samples_per_s: float

    @property
    def days(self) -> float:
        """Of arithmetic."""
        return self.samples / self.samples_per_s / _SECONDS_A_DAY

    def to_json(self) -> dict[str, object]:
        """Flat but for the memory."""
        facts = asdict(self.stage)
        pace = self.samples_per_s
        rates = {"samples_per_s": pace, "tokens_per_s": pace * self.stage.tokens}
        return {**facts, "samples": self.samples, **rates, "days": self.days}


def rows(recipe: PlannedName, asked: PlanConfig) -> list[Row]:
    """The recipe's stages in order."""
    from takt.training.plan_recipe import long_conversation, plan_recipe

    match recipe:
        case "nut-station":
            config, spec = nut_station.nut_station(), STATION
            conversation = long_conversation(config, spec)
            runs = {"choice": 1, "expert": 1, "post": 1, "refine": nut_station.ROUNDS}
        case "xr0":
            config, spec, conversation = xr0.xr0(), xr0.SPEC, xr0.conversation()
            runs = {"choice": 1, "expert": 1, "post": 1}
    card = CARDS[asked.card]
    found = []
    for stage in plan_recipe(config, spec, asked, tuple(runs), conversation):
        loop = getattr(config, stage.name)
        samples = runs[stage.name] * loop.steps * loop.batch_size
        pace = stage.samples_per_s(card, asked.gpus, asked.utilisation)
        found.append(Row(stage=stage, samples=samples, samples_per_s=pace))
    return found


def table(recipe: PlannedName, asked: PlanConfig, found: list[Row]) -> str:
    """For a terminal."""
    card, engine = CARDS[asked.card], asked.engine if asked.gpus > 1 else "replicated"
    lines = [
        f"{recipe} on {asked.gpus} {asked.card} ({card.memory_gb:g} GB, {card.tflops:g} TFLOP/s of "
        f"which {asked.utilisation:.0%} are assumed), {engine}"
        + (", recomputing" if asked.recompute else ""),
        "",
        "GB a GPU  " + " ".join(f"{name:>11}" for name in _MEMORY),
    ]
    for row in found:
        sizes = (getattr(row.stage.memory, name) / 1e9 for name in _MEMORY)
        line = f"{row.stage.name:<10}" + " ".join(f"{size:11.2f}" for size in sizes)
        fits = row.stage.memory.peak <= card.memory_gb * 1e9
        lines.append(line if fits else f"{line}  does not fit")
    heads = ("parameters", "trained", "GFLOP/sample", "tokens/s", "samples", "days")
    lines += ["", " " * 10 + " ".join(f"{head:>13}" for head in heads)]
    for row in found:
        stage = row.stage
        numbers = (stage.parameters, stage.trained, round(stage.flops / 1e9, 2))
        speeds = (round(row.samples_per_s * stage.tokens), row.samples, round(row.days, 4))
        lines.append(f"{stage.name:<10}" + " ".join(f"{x:13,}" for x in (*numbers, *speeds)))
    lines.append(f"{'together':<10}" + " " * 70 + f"{sum(row.days for row in found):13.4f}")
    return "\n".join(lines)
