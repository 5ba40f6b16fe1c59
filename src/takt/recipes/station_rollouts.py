"""A few cycles of the station while its policy trains."""

from pathlib import Path

from takt.benchmarks.wilson import wilson
from takt.embodiments.nut_station.spec import SPEC
from takt.runtime.asynchronous import run_asynchronously
from takt.runtime.inference import InlinePolicy
from takt.seeds import VALIDATION_BEGIN, require_split
from takt.simulation.nut_station.station import NutStation
from takt.training.metrics import Rollouts

FIRST_SEED = VALIDATION_BEGIN + 10_000  # beyond the demonstrations of validation


def work(cycles: int, checkpoint: Path, step: int) -> Rollouts:
    """Asynchronous cycles on seeds of validation; a success has both nuts installed."""
    from takt.policies.xr0.policy import XR0Policy

    require_split(FIRST_SEED, cycles, "validation")
    policy, body = XR0Policy.load(checkpoint, SPEC, threads=1), NutStation()
    good = 0
    for seed in range(FIRST_SEED, FIRST_SEED + cycles):
        body.reset(seed)
        policy.reset(seed)
        worker = InlinePolicy(policy)
        run_asynchronously(body, worker, policy.execute_horizon, lambda: body.finished)
        good += all(outcome == "installed" for outcome in body.finish().values())
    found = wilson(good, cycles)
    return Rollouts(step=step, successes=found.k, attempts=found.n, low=found.lo, high=found.hi)
