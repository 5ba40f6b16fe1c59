"""The engines of one model: one for each shape that its robots' prompts have."""

from collections.abc import Sequence

from torch import Tensor

from takt.policies.xr0.cache import PromptInputs
from takt.policies.xr0.engine import Engine
from takt.policies.xr0.model import XR0


class Engines:
    """Plans like `XR0.sample` with an engine for each batch size and prompt length.

    All prompts come from one set of views and have no padding: their shape then says their layout.

    Attributes:
        room: Engines kept; the one unused for longest goes before another is built. As many as
            there are robots are enough: among n robots with prompts of one length there are n
            sizes of a batch.
    """

    def __init__(self, model: XR0, horizon: int) -> None:
        """For one robot."""
        self._model, self._horizon = model, horizon
        self._engines: dict[tuple[int, ...], Engine] = {}
        self.room = 1

    def of(self, inputs: PromptInputs) -> Engine:
        """The engine for prompts of this shape; builds it if there is none."""
        shape = tuple(inputs.input_ids.shape)
        engine = self._engines.pop(shape, None)
        if engine is None:
            while len(self._engines) >= self.room:  # its buffers go before new ones come
                del self._engines[next(iter(self._engines))]
            engine = Engine(self._model, inputs, self._horizon)
        self._engines[shape] = engine  # the last to go
        return engine

    def plan(
        self,
        inputs: PromptInputs,
        state: Tensor,
        action_mask: Tensor,
        noise: Tensor,
        prefix: Tensor | None,
        lengths: Sequence[int],
    ) -> Tensor:
        """As `Engine.plan`."""
        return self.of(inputs).plan(inputs, state, action_mask, noise, prefix, lengths)
