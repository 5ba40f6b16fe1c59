"""The blocks table's measure: does the tip end on the block that was named?"""

import numpy as np

from takt.embodiments.blocks import SPEC
from takt.runtime.chunking import Synchronous
from takt.runtime.clock import VirtualClock
from takt.runtime.executor import Executor
from takt.runtime.inference import PolicyWorker
from takt.runtime.latency import Injected
from takt.runtime.safety import Governor
from takt.simulation.blocks.table import BlocksTable


def reached(policy: PolicyWorker, execute: int, seeds: range) -> int:
    """Scenes in which the tip ends on the named block, the whole loop run by the executor."""
    table, count = BlocksTable(), 0
    for seed in seeds:
        table.reset(seed)
        policy.reset(seed)
        executor = Executor(
            table,
            policy,
            Synchronous(execute),
            clock=VirtualClock(SPEC.dt),
            latency=Injected(0),
            governor=Governor(SPEC.action_space, np.ones(2, np.float32)),
        )
        executor.run(lambda: table.finished)
        count += table.success
    return count
