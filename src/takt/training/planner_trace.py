"""A stage's forward and backward pass on the meta device: its memory and arithmetic, no numbers.

Every tensor has a size there and no content, so 4.7 B run on a laptop in seconds.
"""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from takt.policies.xr0.model import XR0
from takt.training.batches import Batch
from takt.training.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One pass.

    Attributes:
        flops: Floating-point operations, recomputed layers included.
        peak: Most bytes held at a time besides the weights.
        reached: Names of the parameters that got a gradient.
    """

    flops: int
    peak: int
    reached: frozenset[str]


class ShapedXR0(XR0):
    """For the meta device, where no token has a value: image tokens are taken to come first."""

    def _visual_rows(self, input_ids: Tensor, expected: int) -> Tensor:
        return torch.arange(expected, device=input_ids.device)


def trace(stage: Stage, batch: Batch, *, keep_gradients: bool) -> Trace:
    """Run `stage` on `batch`, both on the meta device.

    Without `keep_gradients` each gradient is handed on as soon as it is there, as FSDP2 does.
    """
    reached = set[str]()

    def note(name: str) -> Callable[[Tensor], None]:
        def hook(parameter: Tensor) -> None:
            reached.add(name)
            if not keep_gradients:
                parameter.grad = None

        return hook

    trained = set(stage.trainable())
    for name, parameter in stage.named_parameters():
        if parameter in trained:
            parameter.register_post_accumulate_grad_hook(note(name))
    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
    counter = FlopCounterMode(
        display=False, custom_mapping={attention: _flops, backward: _backward_flops}
    )
    with _Held(stage) as held, counter:
        stage.losses(batch, torch.Generator().manual_seed(0))["loss"].backward()
    return Trace(flops=counter.get_total_flops(), peak=held.peak, reached=frozenset(reached))


class _Held(TorchDispatchMode):
    """Counts the bytes of every storage that an operation makes until nobody holds it."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.now = self.peak = 0
        tensors = [*stage.parameters(), *stage.buffers()]
        self._known = weakref.WeakSet(tensor.untyped_storage() for tensor in tensors)

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: Any = (),  # noqa: ANN401
        kwargs: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._see(leaf.untyped_storage())
        return result

    def _see(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        self._change(storage.nbytes())
        weakref.finalize(storage, self._change, -storage.nbytes())

    def _change(self, size: int) -> None:
        self.now += size
        self.peak = max(self.peak, self.now)


def _flops(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:  # noqa: ANN401
    return sdpa_flop_count(query, key, value)


def _backward_flops(grad: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:  # noqa: ANN401
    return sdpa_backward_flop_count(grad, query, key, value)
