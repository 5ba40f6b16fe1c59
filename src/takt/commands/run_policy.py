"""Policies that `takt run` can ask, and what must be known of them before anything moves."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from takt.benchmarks.checkpoint import CheckpointChunking, packaged_checkpoint, read_chunking
from takt.benchmarks.player import HOLD, HoldPolicy, Learned
from takt.commands.run_options import Config
from takt.embodiments.reference import is_reference
from takt.extras import require_extra
from takt.runtime.client import RemotePolicy
from takt.runtime.inference import InlinePolicy, PolicyWorker
from takt.runtime.policy_process import PolicyProcess
from takt.types import Embodiment, EmbodimentSpec, Seconds, TaktError

WARM = 5  # inferences that are timed, after a cold one that is not
SCHEMES = ("ws://", "wss://")


@dataclass(frozen=True, slots=True)
class Planner:
    """A worker, and what is known of its plans without asking it; None: ask."""

    worker: PolicyWorker
    facts: CheckpointChunking | None


def planner_named(config: Config, spec: EmbodimentSpec) -> Planner:
    """The policy of the command line; close its worker afterwards.

    Raises:
        TaktError: there is no such policy, or it knows other bodies only.
    """
    remote = config.policy.startswith(SCHEMES)
    elsewhere = remote or config.policy == "hold" or is_reference(config.policy)
    if elsewhere and (config.device, config.dtype, config.quantise) != ("cpu", "float32", None):
        raise TaktError(
            f"--device, --dtype and --quantise are for checkpoints, and {config.policy!r} is none; "
            "leave them out"
        )
    if remote:
        token = config.token_file.read_text().strip() if config.token_file else None
        worker = RemotePolicy(config.policy, token=token, certificate=config.certificate)
        return Planner(worker, None)
    if config.policy == "hold":
        return Planner(InlinePolicy(HoldPolicy(spec)), HOLD)
    if is_reference(config.policy):
        made = {"reference": config.policy}
        return Planner(PolicyProcess("takt.runtime.named_policy:named_policy", made), None)
    return _from_checkpoint(config, spec)


def _from_checkpoint(config: Config, spec: EmbodimentSpec) -> Planner:
    require_extra("train", "takt run with a checkpoint")
    named = config.policy == "nano"
    folder = packaged_checkpoint("nano_station") if named else Path(config.policy)
    facts = read_chunking(folder, spec.name)
    learned = Learned(folder, config.device, config.dtype, config.quantise)
    return Planner(learned.start(config.body), facts)


@dataclass(frozen=True, slots=True)
class Probe:
    """What a policy answered before anything moved: its chunk's length, its usual warm latency."""

    horizon: int
    latency_s: Seconds


def probe(worker: PolicyWorker, body: Embodiment) -> Probe:
    """Ask for a few plans that nobody executes; the first one, which may be slow, is not timed.

    The latency is what the control loop would see: compute, transport and queue. It is the median,
    because a hiccup is not the rule, and what comes later than planned is dealt with.
    """
    horizon, latencies = 0, []
    for _ in range(1 + WARM):
        observation = body.observe()
        began = time.monotonic()
        worker.submit(observation, None)
        horizon = len(worker.result().chunk.actions)
        latencies.append(time.monotonic() - began)
    return Probe(horizon=horizon, latency_s=median(latencies[1:]))


def known_facts(planner: Planner, spec: EmbodimentSpec) -> CheckpointChunking | None:
    """What is known of the plans after the worker's reset without asking for one.

    Raises:
        TaktError: a server's policy is for another body.
    """
    if planner.facts is not None or not isinstance(planner.worker, RemotePolicy):
        return planner.facts
    told = planner.worker.facts
    if told is None or told.embodiment != spec.name:
        served = told.embodiment if told else "nobody knows what"
        raise TaktError(
            f"expected a server for {spec.name!r}, it serves {served!r}; start it with this --body"
        )
    if not (told.horizon and told.execute):
        return None
    return CheckpointChunking(
        horizon=told.horizon,
        execute=told.execute,
        max_prefix=told.max_prefix,
        prefix_time=told.prefix_time,
    )


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
