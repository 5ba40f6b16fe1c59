"""Reaching the block that is named, and the skill with words, of a checkpoint of the blocks table.

Unseen scenes: the seeds are those of evaluation, which no training draws. `reach`: share of scenes
in which the tip ends on the named block, the whole loop run by the executor; `grey` is the same
with images hidden; chance is a third of a policy that finds blocks and ignores the word. `where`,
`which`, `exists`, `paint`: share of questions that the same weights answer rightly, token by token.
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
from takt.policies.xr0.chat import Chat
from takt.policies.xr0.policy import XR0Policy
from takt.runtime.inference import InlinePolicy, PolicyWorker
from takt.seeds import EVALUATION_BEGIN, require_split
from takt.simulation.blocks.questions import CHANCE, KINDS, is_right, question
from takt.simulation.blocks.scene import EDGE, draw, random_scene
from takt.simulation.blocks.table import REACHED

ANSWER_TOKENS = 8
# A third for one who finds blocks and ignores the word; a disc's share of where centres lie.
CHANCE_OF_REACHING = {"reach": 1 / 3, "grey": np.pi * REACHED**2 / (1 - 2 * EDGE) ** 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Measure a checkpoint."""

    policy: Path = Path("out/blocks/policy")
    """Its folder."""
    scenes: int = 300
    """Of each row."""
    seed: int = EVALUATION_BEGIN
    """Of the first scene."""
    reach: bool = True
    """Run the policy too, not only the questions."""
    json: bool = False
    """Print one JSON object as the last line."""


def answered(chat: Chat, kind: str, seeds: range) -> int:
    """Questions that were answered rightly."""
    count = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        scene, tip = random_scene(rng), rng.uniform(0, 1, 2)
        turn = question(scene, kind, rng)
        prompt = chat.prompt([draw(scene, tip)], turn.question)
        count += is_right(scene, turn, "".join(chat.answer(prompt, ANSWER_TOKENS)))
    return count


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
    chat = Chat.load(config.policy)
    for kind in KINDS:
        found[kind] = wilson(answered(chat, kind, seeds), config.scenes)
        show(kind, found[kind], CHANCE[kind])
    if config.reach:
        policy = XR0Policy.load(config.policy, SPEC)
        seeing = InlinePolicy(policy)
        rows: dict[str, PolicyWorker] = {"reach": seeing, "grey": GreyWorker(seeing)}
        for name, player in rows.items():
            found[name] = wilson(reached(player, policy.execute_horizon, seeds), config.scenes)
            show(name, found[name], CHANCE_OF_REACHING[name])
    if config.json:
        print(json.dumps({name: asdict(rate) for name, rate in found.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(run(main, Config))
