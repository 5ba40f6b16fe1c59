"""Why averaging and guidance lose at the tracking task even without delay: one setting at a time.

Each row runs the shipped plain network on validation seeds: ensembling with fewer or newer plans in
its average, guided real-time chunking that looks less far into its old plan.
"""

import argparse

from takt.benchmarks.delay import CellKey, run_cell
from takt.benchmarks.delay_strategies import chunking
from takt.benchmarks.wilson import wilson
from takt.policies.track.policy import Job, TrackPlanner
from takt.recipes.delay import shipped_networks
from takt.runtime.chunking import Chunking, TemporalEnsembling
from takt.seeds import VALIDATION_BEGIN

PLAIN = shipped_networks() / "seed-0" / "plain.safetensors"
DECAYS = 0.01, 0.0, -0.1, -0.3, -1.0, -3.0
GUIDED_STEPS = 0, 2, 4, 8, 16, 40


def score(planner: TrackPlanner, key: CellKey, episodes: int, chunked: Chunking) -> str:
    """Success of one setting."""
    seeds = range(VALIDATION_BEGIN, VALIDATION_BEGIN + episodes)
    memories = [planner.begin(seed) for seed in seeds]
    cell = run_cell(
        key,
        lambda asked: planner.plan([Job(memories[n], seen, done) for n, seen, done in asked]),
        seeds,
        chunked=chunked,
    )
    assert cell.on_target is not None  # the tracking task measures it
    rate = wilson(cell.successes, cell.episodes)
    return (
        f"{cell.successes}/{cell.episodes} (95 % {100 * rate.lo:.0f}-{100 * rate.hi:.0f}), "
        f"collisions {cell.collisions}, on target {cell.on_target / cell.episodes:.2f}"
    )


def main() -> None:
    """Print every row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=48)
    parser.add_argument("--delays", type=int, nargs="+", default=[0, 4])
    asked = parser.parse_args()
    for delay in asked.delays:
        plain = TrackPlanner.load(PLAIN)
        key = CellKey(strategy="naive", seed=0, delay=delay, jitter=False)
        usual = chunking("naive", delay, jitter=False)
        print(f"d={delay} naive: {score(plain, key, asked.episodes, usual)}", flush=True)
        for steps in GUIDED_STEPS:
            planner = TrackPlanner.load(PLAIN, guided=True, guided_steps=steps)
            key = CellKey(strategy="rtc", seed=0, delay=delay, jitter=False)
            found = score(planner, key, asked.episodes, chunking("rtc", delay, jitter=False))
            print(f"d={delay} guided by {steps} steps behind the prefix: {found}", flush=True)
        key = CellKey(strategy="ensembling", seed=0, delay=delay, jitter=False)
        for decay in DECAYS:
            chunked = TemporalEnsembling(max(4, delay), decay)
            found = score(plain, key, asked.episodes, chunked)
            print(f"d={delay} ensembling, decay {decay}: {found}", flush=True)


if __name__ == "__main__":
    main()
