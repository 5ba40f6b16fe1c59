"""Fast inference with one XR-0 and one fixed shape.

The numbers are those of `XR0.sample`; the work is arranged for latency. On a GPU each stage is a
CUDA graph over fixed buffers, elsewhere the same functions run directly.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from takt.policies.xr0.cache import PromptInputs
from takt.policies.xr0.chunk_inputs import require_finite, require_shapes, require_steps
from takt.policies.xr0.config import Contract
from takt.policies.xr0.engine_cpu import KeptLayers
from takt.policies.xr0.engine_flow import FlowLoop
from takt.policies.xr0.engine_graph import Recorded
from takt.policies.xr0.engine_layers import FusedLayers
from takt.policies.xr0.engine_layout import EngineError
from takt.policies.xr0.engine_prefill import Prefill
from takt.policies.xr0.memory import named_shortage
from takt.policies.xr0.model import XR0


class Engine:
    """Plans chunks of one length for prompts of one layout.

    The keys and values of the last prompt are kept: `refresh` plans again from a newer state
    without looking again. Not for concurrent use; the model must not be trained beside it, since
    its folded weights would be stale.

    Attributes:
        see: The vision tower on the images last loaded; with `read` the two halves of `look`.
        read: The language model on what was seen, its keys and values kept.
    """

    @torch.no_grad()
    def __init__(
        self,
        model: XR0,
        inputs: PromptInputs,
        horizon: int,
        *,
        steps: int | None = None,
        compiled: bool = False,
    ) -> None:
        """Prepare, and on a GPU warm up and record, everything.

        Args:
            model: In evaluation mode, on its device, in its dtype, perhaps quantised. Its
                query, key and value and its gate and up weights move into joint storage.
            inputs: A prompt of the layout to serve: batch, padding, positions, image sizes.
            horizon: T, actions per chunk.
            steps: Euler steps; the config's by default, 1 for a one-step distilled model.
            compiled: Fuse small operations with torch.compile (minutes at first; needs a C++
                compiler, or Triton on a GPU).
        """
        _require_shared_time(model.config.contract)
        self._shape = len(inputs.input_ids), horizon
        self._model = model
        with named_shortage(model, inputs):
            self._prepare(inputs, horizon, require_steps(steps, model.config), compiled)

    def _prepare(self, inputs: PromptInputs, horizon: int, steps: int, compiled: bool) -> None:
        model = self._model
        self._prefill = Prefill(model, inputs)
        self._prefill.see()
        cache = self._prefill.read()
        device = model.sink.weight.device
        eager_cpu = device.type == "cpu" and model.dtype == torch.float32 and not compiled
        layers = KeptLayers if eager_cpu else FusedLayers
        self._flow = FlowLoop(model, cache, horizon, steps, layers=layers, compiled=compiled)
        if compiled:
            self._prefill.compile()
        with torch.inference_mode():
            self.see = Recorded(self._prefill.see, device)
            self.read = Recorded(self._read_prompt, device)
            self._integrate = Recorded(self._flow, device)
            self.look(inputs)

    def plan(
        self,
        inputs: PromptInputs,
        state: Tensor,
        action_mask: Tensor,
        noise: Tensor,
        prefix: Tensor | None = None,
        lengths: Sequence[int] | None = None,
    ) -> Tensor:
        """Look, then plan; arguments and result as of `XR0.sample`.

        `lengths` says how many actions of each row's `prefix` are meant; all of it by default.

        Raises:
            EngineError: A prompt of another layout than the engine's.
            ChunkInputError: As of `refresh`.
        """
        with named_shortage(self._model, inputs):
            self.look(inputs)
            return self.refresh(state, action_mask, noise, prefix, lengths)

    @torch.inference_mode()
    def look(self, inputs: PromptInputs) -> None:
        """Run vision and language and keep their keys and values."""
        self._prefill.load(inputs)
        self.see()
        self.read()

    def refresh(
        self,
        state: Tensor,
        action_mask: Tensor,
        noise: Tensor,
        prefix: Tensor | None = None,
        lengths: Sequence[int] | None = None,
    ) -> Tensor:
        """Plan from a newer state on the kept keys and values: the action expert alone runs.

        Raises:
            ChunkInputError: Inputs of another shape, or not finite; those on a GPU are not
                searched for NaN, which would mean waiting for it.
        """
        require_shapes(self._model.config, self._shape, state, action_mask, noise, prefix)
        given = {"state": state, "noise": noise, "prefix": prefix}
        require_finite(**{name: x for name, x in given.items() if x is not None and x.is_cpu})
        with torch.inference_mode():
            self._flow.begin(state, action_mask, noise, prefix, lengths)
            self._integrate()
        return self._flow.chunk.clone()

    def _read_prompt(self) -> None:
        self._flow.load(self._prefill.read())


def _require_shared_time(contract: Contract) -> None:
    if contract.prefix_time != "chunk":
        raise EngineError(
            f"expected a contract whose clean actions stand at the chunk's flow time, got "
            f"{contract.name!r} with prefix_time {contract.prefix_time!r}; use XR0.sample"
        )
