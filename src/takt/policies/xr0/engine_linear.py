"""Linear layers as the engine calls them: merged, with a bias chosen per call."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from takt.policies.xr0.engine_layout import EngineError
from takt.policies.xr0.quantisation import QuantisedLinear, side_by_side

Product = Callable[[Tensor, Tensor | None], Tensor]
"""(rows, in) and a bias (out,) -> (rows, out)."""


@torch.inference_mode(mode=False)
def fuse(layers: Sequence[nn.Module]) -> nn.Module:
    """One layer whose output is theirs side by side.

    Their weights become views of its storage, so that nothing is held twice and they keep working.

    Raises:
        EngineError: They have adapters.
    """
    if all(isinstance(layer, QuantisedLinear) for layer in layers):
        return QuantisedLinear.joined([x for x in layers if isinstance(x, QuantisedLinear)])
    plain = [as_plain(layer) for layer in layers]
    if any(layer.bias is not None for layer in plain):
        raise AssertionError("layers with a bias are not merged")
    weight = side_by_side([layer.weight.detach() for layer in plain])
    for layer, part in zip(plain, weight.split([len(x.weight) for x in plain]), strict=True):
        layer.weight.data = part
    outputs, inputs = weight.shape
    fused = nn.Linear(inputs, outputs, bias=False, device="meta")
    fused.weight = nn.Parameter(weight, requires_grad=False)
    return fused


def product_of(layer: nn.Module) -> Product:
    """The product of a plain or quantised layer, without its own bias.

    Raises:
        EngineError: It has an adapter.
    """
    if isinstance(layer, QuantisedLinear):
        return _Quantised(layer)
    weight = as_plain(layer).weight.detach()
    return lambda x, bias: functional.linear(x, weight, bias)


def as_plain(layer: nn.Module) -> nn.Linear:
    """The layer, unless it has an adapter: then an `EngineError`."""
    if type(layer) is not nn.Linear:
        raise EngineError(
            f"expected plain or quantised linear layers, got {type(layer).__name__}; "
            "merge adapters into the weights first (`lora.merge_adapters`)"
        )
    return layer


class _Quantised:
    def __init__(self, layer: QuantisedLinear) -> None:
        self._layer = layer

    def __call__(self, x: Tensor, bias: Tensor | None) -> Tensor:
        product = self._layer.product(x)
        return product if bias is None else product + bias
