"""Episodes per processor minute of a public suite: the loop that its users write, and takt's.

Both play the same trials with the same actions (`suite_sides.py`), in turns, in one process of the
suite's environment (`takt bench setup SUITE`). The published loop renders with every step; takt
renders with other settings, and where `--execute` steps follow each plan, only for plans.
"""

import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import command

from takt.benchmarks.suites.environment import command_in
from takt.types import TaktError

CLAIM = 2.0
OPTIONS: dict[str, dict[str, Any]] = {
    "metaworld": {"tasks": "reach,button-press,drawer-close"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Measure one suite."""

    suite: Literal["metaworld"] = "metaworld"
    """Which."""
    episodes: int = 2
    """Of each task."""
    execute: int = 10
    """Steps that follow each plan."""
    rounds: int = 3
    """Rounds; all sides in each."""
    json: bool = False
    """Print one JSON object as the last line."""


def measure(config: Config) -> dict[str, Any]:
    """All figures."""
    asked = {
        "suite": config.suite,
        "options": {**OPTIONS[config.suite], "episodes": config.episodes},
        "execute": config.execute,
        "rounds": config.rounds,
    }
    sides = subprocess.run(
        command_in(config.suite, "suite_sides", Path(__file__).parent),
        input=json.dumps(asked),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if sides.returncode:
        raise TaktError(f"the sides of {config.suite} failed, see above; mend that and run again")
    found = json.loads(sides.stdout.splitlines()[-1])
    rounds, trials = found["rounds"], found["trials"]
    return {
        "suite": config.suite,
        "trials": trials,
        "succeeded": rounds[0]["succeeded"],
        "same_success": all(each["same"] for each in rounds),
        "stock_per_min": statistics.median(60 * trials / each["stock_s"] for each in rounds),
        "ratio_each_step": statistics.median(each["stock_s"] / each["each_s"] for each in rounds),
        "ratio": statistics.median(each["stock_s"] / each["plan_s"] for each in rounds),
    }


def main(config: Config) -> int:
    """Print both ratios; 1 when the claim is missed."""
    command.require_at_least(1, episodes=config.episodes, execute=config.execute)
    command.require_at_least(1, rounds=config.rounds)
    found = measure(config)
    print(f"{found['suite']}, {found['trials']} trials, {found['succeeded']} succeeded")
    print(f"  published loop: {found['stock_per_min']:.2f} episodes per processor minute")
    print(f"  takt, an image with every step: {found['ratio_each_step']:.1f} times as many")
    print(f"  takt, {config.execute} steps a plan: {found['ratio']:.1f} times as many")
    print(f"  the same trials succeeded: {'yes' if found['same_success'] else 'NO'}")
    if config.json:
        print(json.dumps(found))
    return int(not (found["same_success"] and found["ratio_each_step"] >= CLAIM))


if __name__ == "__main__":
    sys.exit(command.run(main, Config))
