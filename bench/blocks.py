"""Reaching the block that is named, by a checkpoint of the blocks table.

Unseen scenes: the seeds are those of evaluation, which no training draws. `reach`: share of scenes
in which the tip ends on the named block, the whole loop run by the executor; `grey` is the same
with images hidden. What the same weights can say is asked by `takt eval vl --benchmark blocks`.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from command import run

from takt.benchmarks.blocks import reached
from takt.benchmarks.player import GreyWorker
from takt.benchmarks.wilson import Proportion, wilson
from takt.embodiments.blocks import SPEC
from takt.policies.xr0.policy import XR0Policy
from takt.runtime.inference import InlinePolicy, PolicyWorker
from takt.seeds import EVALUATION_BEGIN, require_split
from takt.simulation.blocks.scene import EDGE
from takt.simulation.blocks.table import REACHED

# A third for one who finds blocks and ignores the word; a disc's share of where centres lie.
CHANCE = {"reach": 1 / 3, "grey": np.pi * REACHED**2 / (1 - 2 * EDGE) ** 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Measure a checkpoint."""

    policy: Path = Path("out/blocks/policy")
    """Its folder."""
    scenes: int = 300
    """Of each row."""
    seed: int = EVALUATION_BEGIN
    """Of the first scene."""
    json: bool = False
    """Print one JSON object as the last line."""


def show(name: str, rate: Proportion, chance: float) -> None:
    """A row."""
    low, high = 100 * rate.lo, 100 * rate.hi
    print(
        f"{name:<8} {rate.k:4d}/{rate.n} = {100 * rate.rate:5.1f} % ({low:.1f}-{high:.1f}), "
        f"chance {100 * chance:.0f} %",
        flush=True,
    )


def main(config: Config) -> int:
    """Print every row."""
    torch.set_num_threads(1)
    require_split(config.seed, config.scenes, "evaluation")
    seeds = range(config.seed, config.seed + config.scenes)
    found: dict[str, Proportion] = {}
    policy = XR0Policy.load(config.policy, SPEC)
    seeing = InlinePolicy(policy)
    rows: dict[str, PolicyWorker] = {"reach": seeing, "grey": GreyWorker(seeing)}
    for name, player in rows.items():
        found[name] = wilson(reached(player, policy.execute_horizon, seeds), config.scenes)
        show(name, found[name], CHANCE[name])
    if config.json:
        print(json.dumps({name: asdict(rate) for name, rate in found.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(run(main, Config))
