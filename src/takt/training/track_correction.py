"""How the correction head is trained: on what a frozen network plans along demonstrations (A2C2).

Axes: N sample, T chunk step, D action dimension.
"""

import torch
from torch import Tensor, nn

from takt.policies.common import flow
from takt.policies.track.correction import LOOK_AHEAD, CorrectionHead
from takt.policies.track.model import TrackDiT
from takt.policies.track.sampling import sample
from takt.training.stage import Stage
from takt.training.track import Windows

STEPS = 20
"""Steps of a chunk that are mended in training: twice T_e and the longest delay, and a margin."""


class TrackCorrection(Stage[Windows]):
    """Distance of mended actions from the demonstrated ones, over the first `STEPS` of chunks."""

    policy: CorrectionHead

    def __init__(self, head: CorrectionHead, base: TrackDiT) -> None:
        """`base` plans and is not trained."""
        super().__init__()
        self.policy = head  # pyright: ignore[reportIncompatibleVariableOverride]
        self._base = [base]  # in a list: no part of this stage's weights

    def trainable(self) -> list[nn.Parameter]:
        """The head."""
        return list(self.policy.parameters())

    def losses(self, batch: Windows, generator: torch.Generator) -> dict[str, Tensor]:
        """`loss` of one batch, in units of 0.01 rad squared."""
        (base,) = self._base
        place = batch.states[:, 0, : base.config.action_dim]
        noise = flow.draw_noise(batch.actions, generator)
        chunk = base.decode(sample(base, base.normalised(batch.states[:, 0]), noise), place)
        steps = min(STEPS, chunk.shape[1] - LOOK_AHEAD + 1)
        planned = chunk.unfold(1, LOOK_AHEAD, 1)[:, :steps].transpose(2, 3).flatten(0, 1)
        states = batch.states[:, :steps].flatten(0, 1)
        index = torch.arange(steps).repeat(len(chunk)).float()
        mended = planned[:, 0] + self.policy(states, planned, index)
        error = 100 * (mended - batch.actions[:, :steps].flatten(0, 1))
        imitable = batch.slips.diff(dim=1)[:, :steps] == 0
        shown = imitable.flatten()[:, None].expand_as(error).float()
        return {"loss": flow.masked_mean(error**2, shown)}
