"""XR-0 as a `takt.types.Policy`: one observation in, one chunk of absolute actions out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from takt.embodiments import embodiment_spec
from takt.policies.xr0 import quantisation
from takt.policies.xr0.cache import PromptInputs
from takt.policies.xr0.checkpoint import Checkpoint, load_checkpoint, runnable
from takt.policies.xr0.checkpoint_files import CheckpointError
from takt.policies.xr0.config import Contract
from takt.policies.xr0.engine import Engine
from takt.policies.xr0.memory import named_shortage
from takt.policies.xr0.processor import XR0Processor
from takt.transforms.actions import ActionTransform
from takt.transforms.slots import Slots
from takt.transforms.states import StateTransform
from takt.types import ActionChunk, EmbodimentSpec, Observation, TaktError

_ALIGNMENT_TICKS = 1e-3  # a committed action further off the observation's stamp is another tick's


class ObservationError(TaktError):
    """An observation the policy cannot act on."""


class XR0Policy:
    """Plans for one body with one checkpoint; noise comes from its own seeded generator."""

    def __init__(self, checkpoint: Checkpoint, embodiment: EmbodimentSpec) -> None:
        """Raises a `CheckpointError` if it does not know the body, or reads more than one state."""
        statistics = checkpoint.body(embodiment.name)
        config = checkpoint.model.config
        if config.state_length != 1:
            raise CheckpointError(
                f"expected a checkpoint that reads one state, got a history of "
                f"{config.state_length}; keep the history yourself and call `XR0.sample`"
            )
        self.embodiment = embodiment
        self._checkpoint = checkpoint
        self.chunk_horizon = statistics.action.horizon
        self.execute_horizon = statistics.execute_horizon
        self.max_prefix = min(config.contract.max_prefix, self.chunk_horizon)
        self._model = runnable(checkpoint.model).eval()
        self._actions = ActionTransform.of(embodiment, statistics.action)
        slots = Slots(embodiment.state_slots, config.state_dim)
        self._states = StateTransform(slots, statistics.state)
        views = [camera.view for camera in embodiment.cameras]
        self._processor = XR0Processor(config, checkpoint.tokenizer, views)
        self._mask = torch.from_numpy(statistics.action.mask)[None]
        self._generator = torch.Generator().manual_seed(0)
        # An engine serves one prompt layout, which instruction and camera sizes decide.
        self._engine: tuple[str, Engine] | None = None

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
        """A policy for another robot: the same weights, an episode and a noise of its own."""
        return XR0Policy(self._checkpoint, self.embodiment)

    def reset(self, seed: int) -> None:
        """Start an episode whose noise depends on `seed` only."""
        self._generator.manual_seed(seed)

    def infer(self, observation: Observation, committed: ActionChunk | None) -> ActionChunk:
        """Plan T steps from `observation.stamp`; committed actions come back as the chunk's start.

        At most the contract's `max_prefix` of them: none where it is 0.

        Raises:
            ObservationError: Cameras, image sizes, state or the committed chunk's clock do not fit.
        """
        self._check(observation)
        state = observation.state
        prefix = self._prefix(observation, committed)
        images = [observation.images[camera.name][None] for camera in self.embodiment.cameras]
        inputs = self._processor(images, [observation.instruction])
        noise = torch.randn(self._mask.shape, generator=self._generator)
        normalised = None
        if prefix is not None:
            normalised = torch.from_numpy(self._actions.forward(prefix, state))[None]
        plan = self._planner(observation.instruction, inputs)
        states = torch.from_numpy(self._states.forward(state))[None, None]
        chunk = plan(inputs, states, self._mask, noise, prefix=normalised)
        actions = self._actions.inverse(chunk[0].float().cpu().numpy(), state)
        if prefix is not None:
            actions[: len(prefix)] = prefix
        space = self.embodiment.action_space
        return ActionChunk(
            stamp=observation.stamp,
            dt=self.embodiment.dt,
            actions=np.clip(actions, space.low, space.high),
        )

    def warm_up(self) -> None:
        """Prepare for the body's own instruction, so that the first inference is not a slow one."""
        cameras = self.embodiment.cameras
        blank = [np.zeros((1, camera.height, camera.width, 3), np.uint8) for camera in cameras]
        self._planner(
            self.embodiment.instruction, self._processor(blank, [self.embodiment.instruction])
        )

    def _planner(self, instruction: str, inputs: PromptInputs) -> Callable[..., torch.Tensor]:
        """What plans like `XR0.sample`: the engine of this instruction, if its contract has one."""
        if self._model.config.contract.prefix_time != "chunk":
            return self._sample
        if self._engine is None or self._engine[0] != instruction:
            self._engine = None  # its buffers go before new ones come
            self._engine = instruction, Engine(self._model, inputs, self.chunk_horizon)
        return self._engine[1].plan

    def _sample(
        self, inputs: PromptInputs, *chunk: torch.Tensor, prefix: torch.Tensor | None
    ) -> torch.Tensor:
        device = self._model.sink.weight.device
        state, mask, noise = (x.to(device) for x in chunk)
        clean = None if prefix is None else prefix.to(device)
        with named_shortage(self._model, inputs):
            return self._model.sample(inputs.to(device), state, mask, noise, clean)

    def _prefix(self, observation: Observation, committed: ActionChunk | None) -> np.ndarray | None:
        """(P, A) absolute actions due from the observation's stamp on, at most `max_prefix`."""
        if committed is None or self.max_prefix == 0:
            return None
        dt = self.embodiment.dt
        ticks = (observation.stamp - committed.stamp) / dt
        first = round(ticks)
        axes, actions = len(self.embodiment.slots), committed.actions
        if actions.shape[1] != axes or not np.isfinite(actions).all():
            raise ObservationError(
                f"expected committed actions of {axes} finite numbers each, "
                f"got shape {actions.shape}{', not all finite' * (actions.shape[1] == axes)}; "
                "hand back what `infer` returned"
            )
        aligned = abs(ticks - first) <= _ALIGNMENT_TICKS and abs(committed.dt / dt - 1) <= 1e-6
        if not aligned or not 0 <= first < len(committed.actions):
            raise ObservationError(
                f"committed actions must be due at the observation's {observation.stamp:.4f} s "
                f"in ticks of {dt:.4f} s; got {len(committed.actions)} "
                f"from {committed.stamp:.4f} s on, every {committed.dt:.4f} s"
            )
        return committed.actions[first : first + self.max_prefix].astype(np.float32)

    def _check(self, observation: Observation) -> None:
        cameras = {camera.name: camera for camera in self.embodiment.cameras}
        if set(observation.images) != set(cameras):
            raise ObservationError(
                f"expected images of cameras {sorted(cameras)}, got {sorted(observation.images)}"
            )
        for name, camera in cameras.items():
            shape = observation.images[name].shape
            if shape != (camera.height, camera.width, 3):
                raise ObservationError(
                    f"camera {name!r}: expected ({camera.height}, {camera.width}, 3), got {shape}"
                )
        axes = self.embodiment.state_names
        if observation.state.shape != (len(axes),):
            raise ObservationError(
                f"expected a state of {len(axes)} axes, got {observation.state.shape}"
            )
        if not np.isfinite(observation.state).all():
            bad = [axes[i] for i in np.flatnonzero(~np.isfinite(observation.state))]
            raise ObservationError(
                f"state is not finite on {', '.join(bad)}; refusing to plan from it"
            )


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
