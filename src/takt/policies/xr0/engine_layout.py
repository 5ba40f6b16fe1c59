"""What an engine is built for, and whether given inputs are that."""

from dataclasses import dataclass

import torch
from torch import Tensor

from takt.policies.common.qwen3_vl import Grid
from takt.policies.xr0.cache import PromptInputs
from takt.policies.xr0.config import XR0Config
from takt.types import TaktError


class EngineError(TaktError):
    """Inputs without the shape or layout that an engine was built for."""


@dataclass(frozen=True, slots=True)
class ServedLayout:
    """Everything of a prompt but its words and pixels, on the host.

    Attributes:
        ids_shape: (batch, token).
        image_rows: Rows of image tokens in the flattened (batch * token) axis.
        attention_mask: (batch, token), or None without padding.
        position_ids: (3, batch, token).
        grids: Patch rows and columns per image.
        pixel_shape: Of the packed patches.
    """

    ids_shape: tuple[int, ...]
    image_rows: Tensor
    attention_mask: Tensor | None
    position_ids: Tensor
    grids: list[Grid]
    pixel_shape: tuple[int, ...]

    @classmethod
    def of(cls, inputs: PromptInputs, config: XR0Config) -> "ServedLayout":
        """Read off `inputs`; costs a wait if they are on a GPU."""
        mask = inputs.attention_mask
        is_image = (inputs.input_ids == config.token_ids.image).flatten()
        return cls(
            ids_shape=tuple(inputs.input_ids.shape),
            image_rows=is_image.nonzero().squeeze(1).cpu(),
            attention_mask=None if mask is None else mask.bool().cpu(),
            position_ids=inputs.position_ids.cpu(),
            grids=[(rows, columns) for _, rows, columns in inputs.image_grid_thw.tolist()],
            pixel_shape=tuple(inputs.pixel_values.shape),
        )

    def require(self, other: "ServedLayout") -> None:
        """Raise an `EngineError` unless `other` is the same layout."""
        for name in ("ids_shape", "pixel_shape", "grids"):
            expected, got = getattr(self, name), getattr(other, name)
            if expected != got:
                raise EngineError(f"prompt {name}: expected {expected}, got {got}; {_REBUILD}")
        for name in ("image_rows", "attention_mask", "position_ids"):
            if not _equal(getattr(self, name), getattr(other, name)):
                raise EngineError(f"prompt {name} differ from those of the layout; {_REBUILD}")


_REBUILD = "an engine serves one layout: build another Engine for this prompt"


def _equal(a: Tensor | None, b: Tensor | None) -> bool:
    if a is None or b is None:
        return a is b
    return torch.equal(a, b)
