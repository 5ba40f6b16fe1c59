"""XR-0 as a `takt.types.Policy`: one observation in, one chunk of absolute actions out."""

import copy
from collections.abc import Sequence
from pathlib import Path

import torch

from takt.embodiments import embodiment_spec
from takt.policies.xr0 import quantisation
from takt.policies.xr0.checkpoint import Checkpoint, load_checkpoint, runnable
from takt.policies.xr0.config import Contract
from takt.policies.xr0.planner import Job, XR0Planner
from takt.types import ActionChunk, EmbodimentSpec, Observation


class XR0Policy:
    """Plans for one robot with one checkpoint; noise comes from its own seeded generator."""

    def __init__(self, checkpoint: Checkpoint, embodiment: EmbodimentSpec) -> None:
        """Raises a `CheckpointError` if it does not know the body, or reads more than one state."""
        self._planner = XR0Planner(checkpoint, embodiment)
        self.embodiment = embodiment
        self.chunk_horizon = self._planner.horizon
        self.execute_horizon = checkpoint.body(embodiment.name).execute_horizon
        self.max_prefix = self._planner.max_prefix
        self._generator = torch.Generator().manual_seed(0)

    @classmethod
    def load(
        cls,
        directory: Path,
        embodiment: EmbodimentSpec,
        contract: Contract | None = None,
        *,
        dtype: torch.dtype | None = torch.float32,
        device: torch.device | str = "cpu",
        quantise: quantisation.Mode | None = None,
        threads: int = 1,
    ) -> "XR0Policy":
        """Open a checkpoint for a body.

        Args:
            directory: As for `load_checkpoint`.
            embodiment: The body.
            contract: Needed only if `config.json` does not name one.
            dtype: Of weights and arithmetic; None keeps what is stored, without copying it.
                bfloat16 halves the memory of a large checkpoint.
            device: Where the model runs.
            quantise: 8-bit weights of the large linear layers, rounded once they are loaded.
            threads: torch's CPU threads of this process.

        Raises:
            CheckpointError: The directory is not whole, or knows other bodies only.
            NotEnoughMemoryError: The weights do not fit.
        """
        torch.set_num_threads(threads)
        checkpoint = load_checkpoint(directory, contract, dtype=dtype, device=device)
        if quantise is not None:
            quantisation.quantise(runnable(checkpoint.model), quantise)
        return cls(checkpoint, embodiment)

    def another(self) -> "XR0Policy":
        """A policy for another robot: the same weights, an episode and a noise of its own.

        The two share what they compute with: they must not think at the same time.
        """
        other = copy.copy(self)
        other._generator = torch.Generator().manual_seed(0)
        self._planner.add_robot()
        return other

    def reset(self, seed: int) -> None:
        """Start an episode whose noise depends on `seed` only."""
        self._generator.manual_seed(seed)

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        """Plan T steps from `observation.stamp`; committed actions come back as the chunk's start.

        At most the contract's `max_prefix` of them: none where it is 0.

        Raises:
            ObservationError: Cameras, image sizes, state or the committed chunk's clock do not fit.
        """
        return self.infer_batch([observation], [committed])[0]

    def infer_batch(
        self, observations: Sequence[Observation], committed: Sequence[ActionChunk | None]
    ) -> list[ActionChunk]:
        """What `infer` would give for one after the other, computed at once.

        Raises:
            ObservationError: One of them does not fit, as for `infer`.
        """
        return self.infer_together([self] * len(observations), observations, committed)

    @staticmethod
    def infer_together(
        policies: Sequence["XR0Policy"],
        observations: Sequence[Observation],
        committed: Sequence[ActionChunk | None],
    ) -> list[ActionChunk]:
        """What each of `policies` would infer; those made by `another` compute at once.

        Raises:
            ObservationError: One of them does not fit, as for `infer`.
        """
        asked = list(zip(policies, observations, committed, strict=True))
        planners = {policy._planner for policy in policies}
        if len(planners) != 1:
            return [policy.infer(seen, given) for policy, seen, given in asked]
        jobs = [Job(seen, given, policy._generator) for policy, seen, given in asked]
        return planners.pop().plan(jobs)

    def warm_up(self) -> None:
        """Prepare for the body's own instruction, so that no first inference is a slow one.

        For every number of robots at once that `another` was called for.
        """
        self._planner.warm_up()


def load_policy(
    checkpoint: str,
    embodiment: str,
    threads: int,
    device: str,
    dtype: str,
    quantise: quantisation.Mode | None,
) -> XR0Policy:
    """The policy process's factory: plain arguments, so that they can cross to another process."""
    policy = XR0Policy.load(
        Path(checkpoint),
        embodiment_spec(embodiment),
        dtype=getattr(torch, dtype),
        device=device,
        quantise=quantise,
        threads=threads,
    )
    policy.warm_up()
    return policy
