"""Root-mean-square norm and attention in the form that trains fastest on a CPU."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def rounds_each_step(parameter: Tensor) -> bool:
    """Whether bfloat16 results are rounded after each operation, as in the released code.

    On a CPU, where bfloat16 weights are run for comparison, that gives its very bits; elsewhere
    one fused kernel, which rounds once, is faster and nearer to float32.
    """
    return parameter.dtype == torch.bfloat16 and parameter.device.type == "cpu"


def add_product(x: Tensor, gain: Tensor, y: Tensor) -> Tensor:
    """`x + gain * y`."""
    return x + gain * y if rounds_each_step(gain) else torch.addcmul(x, gain, y)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Norm over the last axis, computed in at least float32; result in the dtype of `x`."""
    if rounds_each_step(weight):
        return weight * functional.rms_norm(x, weight.shape, None, eps)
    if torch.is_grad_enabled():
        return _RMSNorm.apply(x, weight, eps)  # pyright: ignore[reportReturnType]
    return functional.rms_norm(x, weight.shape, weight.to(x.dtype), eps)


def attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, *, causal: bool = False
) -> Tensor:
    """Softmax attention, (batch, head, token, head_dim); key heads are shared if they are fewer.

    On a CPU it stays in float32 under autocast: the bfloat16 backward takes twice as long there.
    """
    shared = query.shape[1] != key.shape[1]
    if query.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return functional.scaled_dot_product_attention(
            query, key, value, mask, is_causal=causal, enable_gqa=shared
        )
    with torch.autocast("cpu", enabled=False):
        return functional.scaled_dot_product_attention(
            query.float(), key.float(), value.float(), mask, is_causal=causal, enable_gqa=shared
        )


class _RMSNorm(torch.autograd.Function):
    """Half the memory passes of the composite that autograd records for `functional.rms_norm`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:  # noqa: ANN401
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        square = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square_()
        inverse = square.div_(x.shape[-1]).add_(eps).rsqrt_()
        normed = wide * inverse
        ctx.save_for_backward(normed, inverse, weight)
        return (normed * weight).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:  # noqa: ANN401
        normed, inverse, weight = ctx.saved_tensors
        gradient = gradients[0].to(normed.dtype)
        product = (gradient * normed).reshape(-1, normed.shape[-1])
        along = (product @ weight.to(product.dtype)).view(inverse.shape).div_(-normed.shape[-1])
        into_x = torch.addcmul(gradient * weight, normed, along).mul_(inverse)
        return into_x.to(gradients[0].dtype), product.sum(0).to(weight.dtype), None
