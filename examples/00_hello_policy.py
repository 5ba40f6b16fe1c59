"""The smallest policy: hold the pose. Run: python examples/00_hello_policy.py."""

import numpy as np

from takt.runtime.chunking import Synchronous
from takt.runtime.clock import VirtualClock
from takt.runtime.executor import Executor
from takt.runtime.inference import InlinePolicy
from takt.runtime.latency import Injected
from takt.runtime.safety import Governor, step_limits
from takt.simulation.nut_station.station import NutStation
from takt.types import ActionChunk, Observation


class Hold:
    """Plans to stay where the body is."""

    def reset(self, seed: int) -> None:
        """Nothing to forget."""

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        """Ten times the measured pose."""
        return ActionChunk(
            stamp=observation.stamp, dt=1 / 30, actions=np.tile(observation.state, (10, 1))
        )


def main() -> None:
    """Two seconds at the nut station with 80 ms of injected latency."""
    station = NutStation()
    station.reset(seed=0)
    spec = station.spec
    executor = Executor(
        station,
        InlinePolicy(Hold()),
        Synchronous(execute=5),
        clock=VirtualClock(spec.dt),
        latency=Injected(3),
        governor=Governor(spec.action_space, step_limits(spec)),
    )
    trace = executor.run(lambda: station.now >= 2.0)
    moved = np.abs(trace.actions - trace.actions[0]).max()
    print(f"held still for {len(trace.actions)} ticks: moved {moved:.4f} rad at most")


if __name__ == "__main__":
    main()
