"""One episode in the paper's asynchronous way, on a virtual clock: the same for every caller."""

from collections.abc import Callable

from takt.runtime.chunking import LambdaPrefix
from takt.runtime.clock import VirtualClock
from takt.runtime.executor import Executor
from takt.runtime.inference import PolicyWorker
from takt.runtime.latency import PAPER_LATENCY_MS, Injected, delay_ticks
from takt.runtime.safety import Governor, step_limits
from takt.runtime.trace import Trace
from takt.types import Embodiment


def run_asynchronously(
    body: Embodiment, policy: PolicyWorker, execute: int, finished: Callable[[], bool]
) -> Trace:
    """Let `policy` drive `body` with the paper's latency injected, until `finished`.

    Args:
        body: After its reset.
        policy: After its reset.
        execute: T_e, actions executed before the next inference.
        finished: Asked once a tick.
    """
    delay = delay_ticks(PAPER_LATENCY_MS, body.spec.rate_hz)
    executor = Executor(
        body,
        policy,
        LambdaPrefix(execute, prefix=delay),
        clock=VirtualClock(body.spec.dt),
        latency=Injected(delay),
        governor=Governor(body.spec.action_space, step_limits(body.spec)),
    )
    return executor.run(finished)
