"""A few plans that nobody executes: whether they are for this body, how long they are and take."""

import time
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from takt.benchmarks.checkpoint import CheckpointChunking
from takt.commands.run_policy import say
from takt.runtime.inference import PolicyError, PolicyWorker
from takt.types import ActionChunk, Embodiment, EmbodimentSpec, Seconds

WARM = 5  # inferences that are timed, after a cold one that is not
SAME_DT = 0.01  # share of a tick by which a plan's may differ: thirty of them are a third of one


@dataclass(frozen=True, slots=True)
class Probe:
    """What a policy answered before anything moved: its chunk's length, its usual warm latency."""

    horizon: int
    latency_s: Seconds


def probe(
    policy: str, worker: PolicyWorker, body: Embodiment, known: CheckpointChunking | None
) -> Probe:
    """Ask for a few plans that nobody executes; the first one, which may be slow, is not timed.

    The latency is what the control loop would see: compute, transport and queue. It is the median,
    because a hiccup is not the rule, and what comes later than planned is dealt with.

    Raises:
        PolicyError: a plan is not for this body, or shorter than what is known says.
    """
    if policy != "hold":
        say(f"asking for {1 + WARM} plans that nobody executes")
    horizon, latencies = 0, []
    for _ in range(1 + WARM):
        observation = body.observe()
        began = time.monotonic()
        worker.submit(observation, None)
        chunk = worker.result().chunk
        latencies.append(time.monotonic() - began)
        if wrong := _unfit(chunk, observation.stamp, body.spec):
            raise PolicyError(f"{policy}: {wrong}")
        horizon = len(chunk.actions)
    if known is not None and horizon < known.horizon:
        raise PolicyError(
            f"{policy}: expected plans of {known.horizon} actions, as it says of itself, got "
            f"{horizon}; mend what it says or what it plans"
        )
    return Probe(horizon=horizon, latency_s=median(latencies[1:]))


def _unfit(chunk: ActionChunk, stamp: Seconds, spec: EmbodimentSpec) -> str | None:
    """Why it is no plan for this body; the executor would say so at its first tick, or not at all.

    T_e and delays are counted in ticks, so each action must last one.
    """
    names, (steps, axes) = spec.action_space.names, chunk.actions.shape
    if axes != len(names) or steps == 0:
        return (
            f"expected plans of {len(names)} axes ({', '.join(names)}) for {spec.name!r} and at "
            f"least one action, got {steps} actions of {axes} axes; is it meant for another body?"
        )
    finite = [bool(np.isfinite(values).all()) for values in chunk.actions.T]
    if not all(finite):
        bad = ", ".join(name for name, good in zip(names, finite, strict=True) if not good)
        return f"expected finite plans, got others for {bad}; mend what it plans"
    if not abs(chunk.dt - spec.dt) <= SAME_DT * spec.dt:  # also if it is NaN
        return (
            f"expected plans with an action for each tick of {1e3 * spec.dt:.1f} ms, got "
            f"dt={1e3 * chunk.dt:.1f} ms; let it plan at {spec.rate_hz:g} Hz"
        )
    if not abs(chunk.stamp - stamp) <= 0.5 * spec.dt:
        return (
            f"expected a plan from its observation's stamp on, {stamp:.3f} s, got "
            f"{chunk.stamp:.3f} s; return ActionChunk(stamp=observation.stamp, ...)"
        )
    return None


def complete_facts(
    known: CheckpointChunking | None, found: Probe, execute: int | None
) -> CheckpointChunking:
    """T, T_e and the longest prefix; a policy that names none runs half of each plan, no prefix."""
    facts = known or CheckpointChunking(
        horizon=found.horizon,
        execute=max(1, found.horizon // 2),
        max_prefix=0,
        prefix_time="chunk",
    )
    return facts if execute is None else replace(facts, execute=execute)
