"""When to infer, what is committed meanwhile, and how a new chunk enters (paper section 2.3).

Notation: T horizon of a chunk, T_e steps executed before the next inference is triggered,
d delay in ticks between an observation and the first tick on which its chunk can act.
"""

from dataclasses import dataclass, replace

import numpy as np

from takt.types import ActionChunk, Seconds, TaktError


class ChunkingError(TaktError):
    """A chunking that could not run without gaps at the given horizon and delay."""


@dataclass(frozen=True, slots=True)
class Synchronous:
    """Execute T_e steps, then hold still while the next chunk is inferred."""

    execute: int


@dataclass(frozen=True, slots=True)
class AsynchronousPrefix:
    """Trigger after T_e steps and keep moving; the next chunk gets `prefix` committed actions."""

    execute: int
    prefix: int


Chunking = Synchronous | AsynchronousPrefix


def validate(chunking: Chunking, horizon: int, delay: int) -> None:
    """Refuse, with the reason, what would leave ticks without a planned action."""
    execute = chunking.execute
    if not 1 <= execute <= horizon:
        raise ChunkingError(
            f"expected 1 <= T_e <= T, got T_e={execute}, T={horizon}; choose T_e within the chunk"
        )
    if isinstance(chunking, Synchronous):
        return
    if delay > execute:
        raise ChunkingError(
            f"expected d <= T_e, got d={delay}, T_e={execute}: a chunk would arrive after its "
            "successor is due; raise T_e or lower the latency"
        )
    if execute > horizon - delay:
        raise ChunkingError(
            f"expected T_e <= T - d, got T_e={execute}, T={horizon}, d={delay}: the actions run "
            "out before the next chunk arrives; lower T_e or the latency"
        )
    if not delay <= chunking.prefix <= horizon - execute:
        raise ChunkingError(
            f"expected d <= prefix <= T - T_e, got prefix={chunking.prefix}, d={delay}, "
            f"T={horizon}, T_e={execute}: the prefix must cover the inference and exist"
        )


def usable_steps(chunking: Chunking, horizon: int) -> int:
    """How many leading actions of a chunk may be executed."""
    match chunking:
        case Synchronous(execute):
            return min(execute, horizon)
        case AsynchronousPrefix():
            return horizon


def committed_actions(
    chunking: Chunking, plan: ActionChunk | None, now: Seconds, last: np.ndarray
) -> ActionChunk | None:
    """What will be executed from `now` on, whatever comes; None when nothing is promised.

    Past the end of the plan the last action is held, so the prefix says exactly that.
    """
    match chunking:
        case AsynchronousPrefix(prefix=prefix) if plan is not None and prefix > 0:
            index = plan.index_at(now)
            actions = plan.actions[index : index + prefix]
            hold = actions[-1] if len(actions) else last
            padding = np.repeat(hold[None].astype(actions.dtype), prefix - len(actions), axis=0)
            return replace(plan, stamp=now, actions=np.concatenate([actions, padding]))
        case _:
            return None


def enter(
    chunking: Chunking, plan: ActionChunk | None, chunk: ActionChunk, now: Seconds
) -> ActionChunk | None:
    """The new chunk as it will be executed from `now` on; None when it came too late to be used.

    While the body was held still (synchronous, the cold start, or a plan that had run out when the
    observation was made) its observation is still true, so the chunk begins now. A body in motion
    enters it at its true index.
    """
    held = plan is None or plan.index_at(chunk.stamp) >= len(plan.actions)
    if held or isinstance(chunking, Synchronous):
        return replace(chunk, stamp=now)
    return chunk if chunk.index_at(now) < len(chunk.actions) else None
