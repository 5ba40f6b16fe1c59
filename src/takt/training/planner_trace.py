"""A stage's forward and backward pass on fake tensors: its memory and arithmetic, no numbers.

They have sizes and no content, so 4.7 B run on a laptop in seconds; autocast treats them as real.
"""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

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
    """For tokens without a value: image tokens are taken to come first."""

    def _visual_rows(self, input_ids: Tensor, expected: int) -> Tensor:
        return torch.arange(expected, device=input_ids.device)


def trace(stage: Stage, batch: Batch, *, keep_gradients: bool, autocast: bool = False) -> Trace:
    """Run `stage` on `batch`, both on the meta device; the stage's weights become fake ones.

    Without `keep_gradients` each gradient is handed on as soon as it is there, as FSDP2 does.
    """
    # The flow's draws are small and real: whether a batch has a prefix is asked of their values.
    with FakeTensorMode(allow_non_fake_inputs=True):
        stage, batch = stage.to_empty(device="cpu"), batch.to(torch.device("cpu"))
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
    with _Held(stage) as held:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = stage.losses(batch, torch.Generator().manual_seed(0))["loss"]
        loss.backward()
    return Trace(flops=held.flops, peak=held.peak, reached=frozenset(reached))


class _Held(TorchDispatchMode):
    """Counts every operation, and the bytes of what it makes until nobody holds them.

    torch's own counter of operations would hold recomputed layers.
    """

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.flops = self.now = self.peak = 0
        tensors = [*stage.parameters(), *stage.buffers()]
        self._known = weakref.WeakSet(tensor.untyped_storage() for tensor in tensors)

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: Any = (),  # noqa: ANN401
        kwargs: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if (count := _COUNTS.get(func.overloadpacket)) is not None:
            self.flops += count(*args, **kwargs, out_val=result)
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


def _attention_flops(query: Tensor, key: Tensor, value: Tensor, *_: object, **__: object) -> int:
    return sdpa_flop_count(query.shape, key.shape, value.shape)


def _attention_backward_flops(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: object, **__: object
) -> int:
    return sdpa_backward_flop_count(gradient.shape, query.shape, key.shape, value.shape)


_COUNTS: dict[Any, Callable[..., int]] = {
    **flop_registry,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward_flops,
}
