"""Linear layers as the engine calls them: merged, and with a bias chosen per call."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from takt.policies.xr0.quantisation import QuantisedLinear


def fuse(layers: Sequence[nn.Module]) -> nn.Module:
    """One layer whose output is theirs side by side.

    Their weights become views of its storage, so that nothing is held twice and they keep working.
    """
    if all(isinstance(layer, QuantisedLinear) for layer in layers):
        return QuantisedLinear.joined([x for x in layers if isinstance(x, QuantisedLinear)])
    plain = [layer for layer in layers if isinstance(layer, nn.Linear)]
    if len(plain) != len(layers) or any(layer.bias is not None for layer in plain):
        raise AssertionError("only linear layers of one kind and without a bias merge")
    weight = torch.cat([layer.weight.detach() for layer in plain])
    for layer, part in zip(plain, weight.split([len(x.weight) for x in plain]), strict=True):
        layer.weight.data = part
    return _linear(weight)


def input_major(layer: nn.Module) -> nn.Module:
    """A copy whose weight is stored column by column, or `layer` itself if that gains nothing.

    With as few rows as a chunk has, a CPU matrix product over it takes two thirds of the time.
    """
    if not isinstance(layer, nn.Linear) or layer.weight.device.type != "cpu":
        return layer
    return _linear(layer.weight.detach().t().contiguous().t())


def project(layer: nn.Module, x: Tensor, bias: Tensor | None = None) -> Tensor:
    """`layer` with `bias` in the place of its own."""
    if isinstance(layer, nn.Linear):
        return functional.linear(x, layer.weight, bias)
    if isinstance(layer, QuantisedLinear):
        return layer.product(x) if bias is None else layer.product(x) + bias
    raise AssertionError(f"not a linear layer: {type(layer).__name__}")


def _linear(weight: Tensor) -> nn.Linear:
    outputs, inputs = weight.shape
    layer = nn.Linear(inputs, outputs, bias=False, device="meta")
    layer.weight = nn.Parameter(weight, requires_grad=False)
    return layer
