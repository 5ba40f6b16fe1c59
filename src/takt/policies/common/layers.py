"""How a tower runs one of its layers."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

Output = TypeVar("Output")


def run_layer(layer: nn.Module, function: Callable[..., Output], *inputs: Any) -> Output:  # noqa: ANN401
    """`function(layer, *inputs)` as if it were the layer's own forward.

    The layer's hooks run around it, so that an engine which keeps weights elsewhere can bring them.
    Of a layer that `set_recompute` has marked only the outputs are kept for the backward pass;
    tensors that reach `function` in any other way are kept by whoever made them.
    """
    if getattr(layer, "recompute", False) and torch.is_grad_enabled():
        function = partial(checkpoint, function, use_reentrant=False, preserve_rng_state=False)
    if not (layer._forward_pre_hooks or layer._forward_hooks):
        return function(layer, *inputs)
    layer.forward = partial(function, layer)
    try:
        return nn.Module.__call__(layer, *inputs)
    finally:
        del layer.forward


def set_recompute(layers: list[nn.Module], recompute: bool) -> None:
    """Gradient checkpointing of `layers`: less memory for a second forward pass."""
    for layer in layers:
        layer.recompute = recompute  # pyright: ignore[reportArgumentType]
