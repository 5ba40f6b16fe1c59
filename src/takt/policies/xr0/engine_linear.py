"""Linear layers as the engine calls them: merged, with a bias chosen per call."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from takt.policies.xr0.quantisation import QuantisedLinear

Product = Callable[[Tensor, Tensor | None], Tensor]
"""(rows, in) and a bias (out,) -> (rows, out)."""


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
    outputs, inputs = weight.shape
    fused = nn.Linear(inputs, outputs, bias=False, device="meta")
    fused.weight = nn.Parameter(weight, requires_grad=False)
    return fused


def product_of(layer: nn.Module) -> Product:
    """The product of a plain or quantised layer, without its own bias."""
    match layer:
        case QuantisedLinear():
            return _Quantised(layer)
        case nn.Linear():
            weight = layer.weight.detach()
            return lambda x, bias: functional.linear(x, weight, bias)
        case _:
            raise AssertionError(f"not a linear layer: {type(layer).__name__}")


class _Quantised:
    def __init__(self, layer: QuantisedLinear) -> None:
        self._layer = layer

    def __call__(self, x: Tensor, bias: Tensor | None) -> Tensor:
        product = self._layer.product(x)
        return product if bias is None else product + bias
