"""A recorded case: what one implementation of XR-0 computed, to hold another one against.

A directory of `config.json` (released layout; a `fixture` block says how it was run),
`model.safetensors`, `inputs.safetensors` and `outputs.safetensors`.
Axes: B batch, L prompt token, T chunk step, D action dimension.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from takt.policies.xr0.cache import PromptInputs
from takt.policies.xr0.config import XR0Config
from takt.policies.xr0.images import pack_patches
from takt.policies.xr0.parity_files import REAL_DTYPES, read_config, read_tensors
from takt.policies.xr0.parity_prompt import prompt_positions, require_prompt
from takt.policies.xr0.parity_recording import Recording
from takt.policies.xr0.parity_variant import Variant, split_name
from takt.policies.xr0.released_config import from_json
from takt.transforms.normalise import Normalise
from takt.types import TaktError

_FLOW_OUTPUTS = ("dit.", "velocity.", "actions", "decoded", "mask_from_stats")
INPUTS = {"input_ids", "attention_mask", "pixel_values", "image_grid_thw", "image_owner"}
INPUTS |= {"state", "action_mask", "noise", "action", "stats.mean", "stats.std"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Inputs of the flow.

    Attributes:
        state: (B, state_length, state_dim).
        action_mask: (B, T, D) 0/1.
        noise: (B, T, D), the chunk at flow time 0.
        prefix: (B, P, D) clean normalised actions, P may be 0.
        steps: Euler steps.
        statistics: For decoding; None if the case has none.
    """

    state: Tensor
    action_mask: Tensor
    noise: Tensor
    prefix: Tensor
    steps: int
    statistics: Normalise | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a model; `flow` is None where nothing behind the VLM was recorded."""

    config: XR0Config
    dtype: torch.dtype
    prompt: PromptInputs
    flow: Flow | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An opened directory; `config` holds the contract and the flow steps of the recording."""

    directory: Path
    config: XR0Config
    seed: int | None
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]

    @classmethod
    def open(cls, directory: Path) -> "Case":
        """Read everything but the weights.

        Raises:
            TaktError: A file is missing or broken, no contract is named, or a value in the config
                has another type or is out of range.
        """
        data = read_config(directory / "config.json")
        recording = Recording.of(data)
        config = from_json(data, recording.contract)
        outputs = read_tensors(directory / "outputs.safetensors")
        if not outputs:
            raise TaktError(f"{directory}: outputs.safetensors holds no tensor to compare with")
        return cls(
            directory=directory,
            config=replace(config, flow_steps=recording.steps or config.flow_steps),
            seed=recording.seed,
            inputs=read_tensors(directory / "inputs.safetensors"),
            outputs=outputs,
        )

    @property
    def is_training(self) -> bool:
        """Whether it was recorded in training mode: only that draws its flow times."""
        return "tau" in self.inputs

    @property
    def unused_inputs(self) -> list[str]:
        """Names in the inputs file that no run reads."""
        names = {recorded: split_name(recorded)[1] for recorded in self.inputs}
        return sorted(
            recorded
            for recorded, name in names.items()
            if name not in INPUTS and not _is_image(name)
        )

    def variants(self) -> dict[Variant, dict[str, Tensor]]:
        """Recorded tensors by variant and by their name inside it."""
        found: dict[Variant, dict[str, Tensor]] = {}
        for recorded, tensor in self.outputs.items():
            variant, name = split_name(recorded)
            found.setdefault(variant, {})[name] = tensor
        return found

    def run(self, variant: Variant) -> Run:
        """Inputs of one variant, read from its own tensors where it has some.

        Raises:
            TaktError: An input is missing or has the wrong shape.
        """
        config = replace(
            self.config,
            contract=variant.contract or self.config.contract,
            rotary=variant.rotary or self.config.rotary,
        )
        names = self.variants().get(variant, {})
        return Run(
            config=config,
            dtype=variant.dtype,
            prompt=self._prompt(variant),
            flow=self._flow(variant, config) if any(map(_is_flow_output, names)) else None,
        )

    def packed_images(self) -> Tensor | None:
        """`pixel_values` made from the recorded images, in prompt order; None without images.

        Raises:
            TaktError: An image is not (H, W, 3) uint8 with sides of whole tokens.
        """
        vision, patches = self.config.vision, []
        for name in sorted(filter(_is_image, self.inputs), key=lambda name: int(name[6:])):
            image, unit = self.inputs[name], vision.token_pixels
            shape = tuple(image.shape)
            if image.dtype != torch.uint8 or len(shape) != 3 or shape[2] != 3:
                raise TaktError(f"{name}: expected (H, W, 3) uint8, got {shape} {image.dtype}")
            if shape[0] % unit or shape[1] % unit:
                raise TaktError(f"{name}: expected sides in multiples of {unit}, got {shape[:2]}")
            patches.append(pack_patches(image[None], vision)[0])
        return torch.cat(patches) if patches else None

    def _prompt(self, variant: Variant) -> PromptInputs:
        vision = self.config.vision
        ids = self._integers("input_ids", variant, None, None)
        mask = self._integers("attention_mask", variant, *ids.shape)
        grid_thw = self._integers("image_grid_thw", variant, None, 3)
        require_prompt(ids, mask, grid_thw, self.config)
        patch = 3 * vision.temporal_patch_size * vision.patch_size**2
        patches = int(grid_thw.prod(1).sum())
        return PromptInputs(
            input_ids=ids,
            attention_mask=mask,
            pixel_values=self.need("pixel_values", variant, patches, patch),
            image_grid_thw=grid_thw,
            position_ids=prompt_positions(ids, mask.bool(), grid_thw, self.config),
        )

    def _flow(self, variant: Variant, config: XR0Config) -> Flow:
        batch = len(self._integers("input_ids", variant, None, None))
        shape = tuple(self._shaped("action_mask", variant, batch, None, config.action_dim).shape)
        horizon = min(variant.horizon or shape[1], shape[1])
        prefix = min(max(variant.prefix, 0), horizon)
        clean = torch.zeros(batch, 0, config.action_dim)
        if prefix:  # without one the case may lack the actions
            clean = self.need("action", variant, *shape, steps=prefix)
        return Flow(
            state=self.need("state", variant, batch, config.state_length, config.state_dim),
            action_mask=self.need("action_mask", variant, *shape, steps=horizon),
            noise=self._noise(variant, shape, horizon),
            prefix=clean,
            steps=variant.steps or config.flow_steps,
            statistics=self._statistics(variant, horizon, config),
        )

    def _noise(self, variant: Variant, shape: tuple[int, ...], horizon: int) -> Tensor:
        """The recorded noise, or the released draw: one seeded `randn` for the whole batch."""
        if self._find("noise", variant) is not None:
            return self.need("noise", variant, *shape, steps=horizon)
        if self.seed is None:
            raise TaktError(
                f"{self.directory}: expected noise {shape} in inputs.safetensors or a fixture.seed "
                "in config.json, got neither; record the noise"
            )
        generator = torch.Generator().manual_seed(self.seed)
        drawn = torch.randn(shape, generator=generator, dtype=variant.dtype)
        return drawn[:, :horizon]

    def _statistics(self, variant: Variant, horizon: int, config: XR0Config) -> Normalise | None:
        if self._find("stats.mean", variant) is None:
            return None
        mean, std = (
            self.need(name, variant, None, config.action_dim)[:horizon].numpy()
            for name in ("stats.mean", "stats.std")
        )
        return Normalise(mean, std, config.contract.decode_eps)

    def _find(self, name: str, variant: Variant) -> Tensor | None:
        labels = (variant.label, *(f"{word}." for word in variant.words), "")
        return next((self.inputs[x + name] for x in labels if x + name in self.inputs), None)

    def need(
        self, name: str, variant: Variant, *shape: int | None, steps: int | None = None
    ) -> Tensor:
        """A float32 input of `variant`, its own or the case's.

        Args:
            name: In the inputs file, without the variant's words.
            variant: Whose it is.
            shape: As it is recorded; None is any length.
            steps: Only so many of the second axis are read; the others may hold anything.

        Raises:
            TaktError: It is missing, or of another shape, or not of finite real numbers.
        """
        tensor = self._shaped(name, variant, *shape)
        tensor = tensor if steps is None else tensor[:, :steps]
        if tensor.dtype not in REAL_DTYPES:
            raise self._refusal(name, "real numbers", tensor.dtype)
        if not tensor.isfinite().all():
            raise self._refusal(name, "finite numbers", "NaN or infinity")
        return tensor.float()

    def _integers(self, name: str, variant: Variant, *shape: int | None) -> Tensor:
        """As `need`, int64."""
        tensor = self._shaped(name, variant, *shape)
        if tensor.dtype not in REAL_DTYPES or tensor.is_floating_point():
            raise self._refusal(name, "integers", tensor.dtype)
        return tensor.long()

    def _shaped(self, name: str, variant: Variant, *shape: int | None) -> Tensor:
        tensor = self._find(name, variant)
        if tensor is None:
            raise TaktError(
                f"{self.directory}: inputs.safetensors lacks {name!r}, which "
                f"{variant.label or 'the case'!r} needs; it has: {', '.join(sorted(self.inputs))}"
            )
        got = tuple(tensor.shape)
        fits = len(got) == len(shape) and 0 not in got
        if not fits or any(want not in (None, have) for want, have in zip(shape, got, strict=True)):
            wanted = ", ".join("any" if want is None else str(want) for want in shape)
            raise self._refusal(name, f"shape ({wanted})", got)
        return tensor

    def _refusal(self, name: str, expected: str, got: object) -> TaktError:
        return TaktError(
            f"{self.directory}: {name}: expected {expected}, got {got}; record the inputs again"
        )


def _is_image(name: str) -> bool:
    return name.startswith("image.") and name[6:].isdecimal()


def _is_flow_output(name: str) -> bool:
    return name.startswith(_FLOW_OUTPUTS)
