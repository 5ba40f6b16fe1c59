"""DeepSpeed's ZeRO-2: every rank holds the weights, and a share of gradients and moments."""

import os
import warnings
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from takt.extras import require_extra
from takt.training.parallel import device, rank, world_size
from takt.training.stage import Stage
from takt.training.updater import Moments


class DeepSpeedUpdater:
    """`Updater` by DeepSpeed around the stage; moments are stored as every engine stores them.

    A share is a range of all weights end to end, in float32, wherever one ends. DeepSpeed cannot
    leave a weight out of a step: one that the step's loss does not reach is not decayed, but moves
    on by the momentum of steps that reached it.
    """

    def __init__(
        self,
        stage: Stage,
        optimiser: torch.optim.Optimizer,
        parameters: list[nn.Parameter],
        clip: float,
    ) -> None:
        """Every rank calls it; `close` ends what it changes of the parameters.

        Raises:
            TaktError: DeepSpeed is not installed.
        """
        deepspeed = _deepspeed()
        self._parameters = parameters
        # DeepSpeed would also decay what no loss reaches.
        self._decay = optimiser.param_groups[0]["weight_decay"]
        optimiser.param_groups[0]["weight_decay"] = 0.0
        self._engine: Any = deepspeed.initialize(
            model=stage,
            optimizer=optimiser,
            config={
                "train_micro_batch_size_per_gpu": 1,  # only for its own statistics
                "zero_optimization": {"stage": 2},
                "zero_allow_untested_optimizer": True,
                "gradient_clipping": clip,
            },
        )[0]
        self._reached: set[nn.Parameter] = set()
        self._hooks = [p.register_post_accumulate_grad_hook(self._reached.add) for p in parameters]

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Of one of a step's passes; gradients are reduced to their shares during it."""
        self._engine.set_gradient_accumulation_boundary(last)
        self._engine.backward(loss, scale_wrt_gas=False)

    def step(self, lr: float) -> float:
        """Update the weights and drop the gradients; their norm over all ranks before clipping.

        Where it is not finite the weights are spoilt: only a stored state can be gone on from.
        """
        self._engine.optimizer.param_groups[0]["lr"] = lr
        if self._decay:
            self._shrink(1 - lr * self._decay)
        self._engine.step()
        self._reached.clear()
        return float(self._engine.get_global_grad_norm())

    def moments(self) -> Moments:
        """Whole ones, of every so manyth parameter; every rank calls it."""
        from deepspeed.utils import (  # pyright: ignore[reportMissingImports]
            safe_get_full_optimizer_state,
        )

        _, state = self._share()
        found: dict[Tensor, dict[str, Tensor]] = {}
        for number, parameter in enumerate(self._parameters):
            for slot, value in state.items():
                if slot == "step":
                    whole = value.clone()
                else:  # gathered by all for the one that stores it
                    whole = safe_get_full_optimizer_state(parameter, slot)
                if number % world_size() == rank():
                    found.setdefault(parameter, {})[slot] = whole.cpu()
        return found

    def blank(self, parameter: nn.Parameter) -> Tensor:
        """A moment of `parameter`, to be filled from a file; the GPU has no room for whole ones."""
        return torch.zeros_like(parameter, device="cpu")

    @torch.no_grad()
    def restore(self, moments: Moments) -> None:
        """Go on with `moments`, filled, and with the weights that the parameters now have."""
        self._engine.optimizer.refresh_fp32_params()
        share, state = self._share()
        for parameter, slots in moments.items():
            for slot, value in slots.items():
                if slot == "step":
                    state[slot] = value.to(share.device)
                    continue
                mine = state.setdefault(slot, torch.zeros_like(share))
                if (part := _part(parameter)) is not None:
                    there, here = part.lp_fragment_address, part.hp_fragment_address
                    given = value.flatten()[there.start : there.start + there.numel]
                    mine[here.start : here.start + here.numel] = given

    def close(self) -> None:
        """Leave the parameters as any others."""
        for hook in self._hooks:
            hook.remove()
        self._engine.destroy()

    def _share(self) -> tuple[Tensor, dict[str, Tensor]]:
        """This rank's weights, and what the optimiser remembers of them."""
        zero = self._engine.optimizer
        share = zero.param_groups[0]["params"][0]
        return share, zero.state[share]

    def _shrink(self, factor: float) -> None:
        """Those weights of this rank's share that the step's loss reached on any rank."""
        reached = [float(parameter in self._reached) for parameter in self._parameters]
        ranks = torch.tensor(reached, device=device())
        dist.all_reduce(ranks)
        for parameter, count in zip(self._parameters, ranks.tolist(), strict=True):
            if count and (part := _part(parameter)) is not None:
                part.get_hp_fragment().data.mul_(factor)


def _part(parameter: Any) -> Any:  # noqa: ANN401
    """Where `parameter` overlaps this rank's share (DeepSpeed's tensor_fragment), or None."""
    return parameter._hp_mapping


def _deepspeed() -> Any:  # noqa: ANN401
    """The module, told what it would else ask a launcher of its own."""
    require_extra("deepspeed", "the ZeRO-2 engine")
    os.environ.setdefault("LOCAL_RANK", str(rank()))  # torchrun says; `launch` uses one machine
    os.environ.setdefault("DS_ACCELERATOR", device().type)
    import deepspeed  # pyright: ignore[reportMissingImports]

    if device().type == "cpu":  # else it compiles an all-reduce of its own for minutes
        deepspeed.ops.__compatible_ops__ = {}
    warnings.filterwarnings("ignore", message=".*all_gather_into_tensor.* is deprecated")
    return deepspeed
