"""Policies that `takt run` can ask, and what must be known of them before anything moves."""

import sys
from dataclasses import dataclass
from pathlib import Path

from takt.benchmarks.checkpoint import CheckpointChunking, packaged_checkpoint, read_chunking
from takt.benchmarks.player import HOLD, HoldPolicy, Learned
from takt.commands.run_options import Config
from takt.embodiments.reference import is_reference
from takt.extras import require_extra
from takt.runtime.client import GIVE_UP_S, RemotePolicy
from takt.runtime.inference import InlinePolicy, PolicyWorker
from takt.runtime.policy_process import PolicyProcess
from takt.types import EmbodimentSpec, TaktError

SCHEMES = ("ws://", "wss://")
ACCEPTED = "hold, nano, a checkpoint's folder, MODULE:NAME, FILE.py:NAME or ws://HOST:PORT"


@dataclass(frozen=True, slots=True)
class Planner:
    """A worker, and what is known of its plans without asking it; None: ask."""

    worker: PolicyWorker
    facts: CheckpointChunking | None


def planner_named(config: Config, spec: EmbodimentSpec) -> Planner:
    """The policy of the command line, which may still load; close its worker afterwards.

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
        return Planner(_remote(config), None)
    if config.policy == "hold":
        return Planner(InlinePolicy(HoldPolicy(spec)), HOLD)
    if is_reference(config.policy):
        say(f"loading {config.policy}")
        made = {"reference": config.policy}
        return Planner(PolicyProcess("takt.runtime.named_policy:named_policy", made), None)
    return _from_checkpoint(config, spec)


def _remote(config: Config) -> RemotePolicy:
    if config.certificate is not None and not config.policy.startswith("wss://"):
        raise TaktError(
            f"--certificate is for wss://, which is encrypted, and --policy is {config.policy}; "
            "leave it out, or serve with --certificate and --key"
        )
    token = config.token_file.read_text().strip() if config.token_file else None
    say(f"connecting to {config.policy}, for at most {GIVE_UP_S:g} s")
    return RemotePolicy(
        config.policy, token=token, certificate=config.certificate, give_up_s=GIVE_UP_S, tell=say
    )


def say(text: str) -> None:
    """A line about the policy, before and while it plans."""
    print(f"policy: {text}", file=sys.stderr, flush=True)


def _from_checkpoint(config: Config, spec: EmbodimentSpec) -> Planner:
    require_extra("train", "takt run with a checkpoint")
    named = config.policy == "nano"
    folder = packaged_checkpoint("nano_station") if named else Path(config.policy)
    if not folder.is_dir():
        raise TaktError(f"--policy: expected {ACCEPTED}, got {config.policy!r}")
    say(f"loading {config.policy}")
    facts = read_chunking(folder, spec.name, ACCEPTED)
    learned = Learned(folder, config.device, config.dtype, config.quantise)
    return Planner(learned.start(config.body), facts)


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
    for what, ours, theirs in (
        ("actions", spec.action_space.names, told.actions),
        ("state", spec.state_names, told.state),
        ("cameras", sorted(camera.name for camera in spec.cameras), sorted(told.cameras)),
        ("rate in Hz", [f"{spec.rate_hz:g}"], [f"{told.rate_hz:g}"]),
    ):
        if ours != theirs:
            raise TaktError(
                f"expected a server for a {spec.name!r} with the {what} {', '.join(ours)}, it "
                f"serves one with {', '.join(theirs)}; start both with the same --body"
            )
    if not (told.horizon and told.execute):
        return None
    return CheckpointChunking(
        horizon=told.horizon,
        execute=told.execute,
        max_prefix=told.max_prefix,
        prefix_time=told.prefix_time,
    )
