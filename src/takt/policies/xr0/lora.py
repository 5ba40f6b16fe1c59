"""Low-rank adapters (LoRA, Hu et al. 2021): y = W x + (alpha / r) B A x, with W and b frozen.

`merge_adapters` adds B A to W, so that what is saved is an ordinary checkpoint.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from takt.types import TaktError


class AdaptedLinear(nn.Linear):
    """A linear layer with its own weights frozen and an adapter beside them.

    `down` is (rank, inputs), `up` (outputs, rank); `up` starts at 0, so that nothing changes.
    """

    def __init__(self, linear: nn.Linear, rank: int, alpha: float) -> None:
        """Takes over the weights of `linear`; a rank above the layer's own is cut to it."""
        outputs, inputs = linear.weight.shape
        super().__init__(inputs, outputs, bias=False, device="meta")
        self.weight = nn.Parameter(linear.weight.detach(), requires_grad=False)
        if linear.bias is not None:
            self.bias = nn.Parameter(linear.bias.detach(), requires_grad=False)
        self.scale = alpha / rank
        rank = min(rank, inputs, outputs)
        down = torch.empty(rank, inputs, device=linear.weight.device)
        self.down = nn.Parameter(nn.init.kaiming_uniform_(down, a=5**0.5))
        self.up = nn.Parameter(torch.zeros(outputs, rank, device=linear.weight.device))

    def forward(self, input: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        low = functional.linear(functional.linear(input, self._as(self.down)), self._as(self.up))
        return super().forward(input) + self.scale * low

    def merged(self) -> nn.Linear:
        """One plain layer that does the same."""
        outputs, inputs = self.weight.shape
        plain = nn.Linear(inputs, outputs, bias=self.bias is not None, device="meta")
        change = self.scale * (self.up.detach() @ self.down.detach())
        plain.weight = nn.Parameter((self.weight + change).to(self.weight.dtype))
        if self.bias is not None:
            plain.bias = nn.Parameter(self.bias.detach())
        return plain

    def _as(self, adapter: Tensor) -> Tensor:
        return adapter.to(self.weight.dtype)


def add_adapters(
    model: nn.Module, rank: int, *, alpha: float | None = None, skip: str | None = None
) -> list[nn.Parameter]:
    """Freeze `model` and give every linear layer an adapter, in place.

    Args:
        model: Of any kind; convolutions, embeddings and norms stay frozen without one.
        rank: r.
        alpha: The adapters' weight is alpha / r; 2 r by default.
        skip: Layers whose name starts so get none, as "vlm.".

    Returns:
        The adapters' parameters: all that is to be trained.

    Raises:
        TaktError: The rank is below 1, or there is no such layer.
    """
    if rank < 1:
        raise TaktError(f"expected a LoRA rank of at least 1, got {rank}; 16 is a good start")
    model.requires_grad_(requires_grad=False)
    for name, layer in _linear_layers(model, skip):
        _replace(model, name, AdaptedLinear(layer, rank, 2 * rank if alpha is None else alpha))
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def merge_adapters(model: nn.Module) -> None:
    """Turn every adapted layer into a plain one, in place; all parameters can be trained again."""
    for name, layer in list(model.named_modules()):
        if isinstance(layer, AdaptedLinear):
            _replace(model, name, layer.merged())
    model.requires_grad_(requires_grad=True)


def count_adapters(model: nn.Module, rank: int, skip: str | None = None) -> int:
    """Numbers that adapters of `rank` would have; the model may live on the meta device."""
    shapes = [layer.weight.shape for _, layer in _linear_layers(model, skip)]
    return sum(min(rank, *shape) * sum(shape) for shape in shapes)


def _linear_layers(model: nn.Module, skip: str | None) -> list[tuple[str, nn.Linear]]:
    return [
        (name, layer)
        for name, layer in model.named_modules()
        if type(layer) is nn.Linear and not (skip and name.startswith(skip))
    ]


def _replace(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, layer)
