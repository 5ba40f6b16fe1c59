"""Linear layers with 8-bit weights, for inference.

Every output channel has its own scale (absolute maximum / largest code). Axes: row (all leading
axes of an input), in, out.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from takt.types import TaktError

Mode = Literal["int8", "int8-w8a8", "fp8", "fp8-w8a8"]
"""int8, fp8: 8-bit weights, products in the dtype of the input: half the memory, and faster only
where a compiler fuses the widening with the product. -w8a8: inputs become 8 bits too, one scale per
row, and the product itself runs in 8 bits where the device has it."""

MODES: tuple[Mode, ...] = ("int8", "int8-w8a8", "fp8", "fp8-w8a8")
_FP8 = torch.float8_e4m3fn
_LARGEST_FP8 = 448.0
_LARGEST_INT8 = 127.0
_PARTS = ("vlm.model.visual.blocks", "vlm.model.language_model.layers", "dit.layers")
_MIN_ROWS = 32  # CUDA's int8 product refuses 16 rows or fewer


class QuantisationError(TaktError):
    """A mode or device that cannot be had."""


class QuantisedLinear(nn.Module):
    """y = x (q * scale)^T + bias."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, scale: Tensor, bias: Tensor | None, mode: Mode) -> None:
        """Over codes (out, in) in int8 or float8, scales (out,) and the bias."""
        super().__init__()
        self.mode: Mode = mode
        # As bytes, because a cast of the module would widen float8 like any other float.
        self.register_buffer("weight", weight.view(torch.uint8))
        self.register_buffer("scale", scale)
        self.register_buffer("bias", bias)

    @classmethod
    def of(cls, layer: nn.Linear, mode: Mode) -> "QuantisedLinear":
        """Round a layer's weight to the nearest code."""
        weight, scale = _codes(layer.weight.detach(), mode)
        bias = None if layer.bias is None else layer.bias.detach()
        return cls(weight, scale.squeeze(1).to(layer.weight.dtype), bias, mode)

    @classmethod
    def joined(cls, layers: Sequence["QuantisedLinear"]) -> "QuantisedLinear":
        """Outputs side by side; the parts' codes become views of the whole."""
        if any(layer.bias is not None for layer in layers):
            raise AssertionError("layers with a bias are not merged")
        weight = side_by_side([layer.weight for layer in layers])
        for layer, part in zip(layers, weight.split([len(x.weight) for x in layers]), strict=True):
            layer.weight = part
        return cls(weight, torch.cat([layer.scale for layer in layers]), None, layers[0].mode)

    @property
    def codes(self) -> Tensor:
        """(out, in) int8 or float8."""
        return self.weight.view(torch.int8 if self.mode.startswith("int8") else _FP8)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out) in the dtype of `x`."""
        product = self.product(x)
        return product if self.bias is None else product + self.bias

    def product(self, x: Tensor) -> Tensor:
        """Without the bias."""
        if not self.mode.endswith("w8a8"):
            return functional.linear(x, self.codes.to(x.dtype)) * self.scale
        rows = x.reshape(-1, x.shape[-1])
        codes, row_scale = _codes(rows, self.mode)
        multiply = _int8_product if self.mode == "int8-w8a8" else _fp8_product
        product = multiply(codes, row_scale, self.codes, self.scale)
        return product.to(x.dtype).view(*x.shape[:-1], -1)


def quantise(model: nn.Module, mode: Mode) -> nn.Module:
    """Replace the linear layers of vision blocks, language layers and DiT layers, in place.

    Embeddings, norms, mergers, projectors and the time branch keep their precision: together they
    are 2 % of the reading and touch every token's first or last step.

    Raises:
        QuantisationError: An unknown mode, one that this GPU lacks, or layers with adapters.
    """
    if mode not in MODES:
        raise QuantisationError(f"expected a mode of {', '.join(MODES)}, got {mode!r}")
    layers = list(_linear_layers(model))
    for _, name, layer in layers:
        _require_possible(name, layer, mode)
    for parent, name, layer in layers:
        setattr(parent, name, QuantisedLinear.of(layer, mode))
    return model


@torch.inference_mode(mode=False)  # else a model in use could never be trained again
@torch.no_grad()
def side_by_side(weights: Sequence[Tensor]) -> Tensor:
    """Weights (out, in) as one; if they are neighbours in memory already, nothing is copied."""
    first, shape = weights[0], (sum(len(weight) for weight in weights), weights[0].shape[1])
    end = first.storage_offset()
    for weight in weights:
        alike = (weight.dtype, weight.shape[1]) == (first.dtype, first.shape[1])
        same = weight.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        is_next = same and weight.storage_offset() == end and weight.is_contiguous()
        if not alike or not is_next or first.is_meta:
            return torch.cat(list(weights))
        end += weight.numel()
    return first.as_strided(shape, (shape[1], 1))


def _require_possible(name: str, layer: nn.Linear, mode: Mode) -> None:
    if type(layer) is not nn.Linear:
        raise QuantisationError(
            f"expected plain linear layers, {name} is a {type(layer).__name__}; "
            "merge adapters into the weights first (`lora.merge_adapters`)"
        )
    if not layer.weight.is_cuda or not mode.endswith("w8a8"):
        return
    if mode == "fp8-w8a8" and torch.cuda.get_device_capability(layer.weight.device) < (8, 9):
        raise QuantisationError("this GPU cannot multiply fp8 (8.9 can); use fp8 or int8-w8a8")
    unit = 8 if mode == "int8-w8a8" else 16
    if any(width % unit for width in layer.weight.shape):
        raise QuantisationError(
            f"{mode} on a GPU needs widths in multiples of {unit}, {name} has "
            f"{tuple(layer.weight.shape)}; use {mode.removesuffix('-w8a8')}"
        )


def _linear_layers(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
    for part in _PARTS:
        for parent in model.get_submodule(part).modules():
            for name, child in parent.named_children():
                if isinstance(child, nn.Linear):
                    yield parent, name, child


def _codes(x: Tensor, mode: Mode) -> tuple[Tensor, Tensor]:
    """8-bit codes of (row, in) and the scale of each row, (row, 1) float32."""
    largest = _LARGEST_INT8 if mode.startswith("int8") else _LARGEST_FP8
    wide = x.float()
    scale = wide.abs().amax(-1, keepdim=True).clamp_min(1e-12) / largest
    scaled = wide / scale
    if mode.startswith("int8"):
        return scaled.round().to(torch.int8), scale
    return scaled.clamp(-largest, largest).to(_FP8), scale


def _int8_product(rows: Tensor, row_scale: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """(row, in) x (out, in) -> (row, out)."""
    count = len(rows)
    if rows.is_cuda and count < _MIN_ROWS:
        rows = functional.pad(rows, (0, 0, 0, _MIN_ROWS - count))
    return torch._int_mm(rows, weight.t())[:count] * row_scale * scale  # pyright: ignore[reportPrivateImportUsage]


def _fp8_product(rows: Tensor, row_scale: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """(row, in) x (out, in) -> (row, out); a CPU emulates it in float32."""
    if not rows.is_cuda:
        return functional.linear(rows.float(), weight.float()) * row_scale * scale
    return torch._scaled_mm(  # pyright: ignore[reportPrivateImportUsage]
        rows,
        weight.t(),
        scale_a=row_scale,
        scale_b=scale.float()[None],
        out_dtype=torch.bfloat16,
        use_fast_accum=True,
    )
