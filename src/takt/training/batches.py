"""The batches that every stage draws from the frames of one or several datasets.

Axes: B batch, T chunk step, D policy column, P named point.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from takt.policies.xr0.cache import PromptInputs
from takt.policies.xr0.checkpoint import Checkpoint
from takt.policies.xr0.processor import XR0Processor
from takt.training.frames import Frames, Samples
from takt.training.shards import WHOLE, Shard
from takt.training.vision_language import DialogueBatch
from takt.transforms.actions import ActionTransform
from takt.transforms.slots import Slots
from takt.transforms.states import StateTransform
from takt.types import EmbodimentSpec, TaktError


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a stage's loss sees.

    Prompt, state (B, 1, D), chunk (B, T, D), valid (B, T), points (B, P, 2), and the columns that
    the body has, action_mask (1 or B, T, D). `shard` tells which part of a step's batch it is:
    what is drawn for a sample must not depend on the cut. `conversations` are learnt beside it.
    """

    inputs: PromptInputs
    state: Tensor
    actions: Tensor
    valid: Tensor
    points: Tensor
    action_mask: Tensor
    shard: Shard = WHOLE
    conversations: DialogueBatch | None = None

    def to(self, device: torch.device) -> "Batch":
        """The same on `device`."""
        return replace(
            self,
            inputs=self.inputs.to(device),
            state=self.state.to(device),
            actions=self.actions.to(device),
            valid=self.valid.to(device),
            points=self.points.to(device),
            action_mask=self.action_mask.to(device),
            conversations=self.conversations and self.conversations.to(device),
        )


class Batcher:
    """Draws batches; each depends on its generator only, so a resumed run sees the same ones."""

    def __init__(
        self,
        sources: Sequence[Frames],
        spec: EmbodimentSpec,
        processor: XR0Processor,
        actions: ActionTransform,
        states: StateTransform,
        point_mirror: Sequence[int] = (),
    ) -> None:
        """Every batch takes equally many frames of each source, whatever their sizes.

        `point_mirror[i]` is the point whose mirror image is point i.
        """
        self._horizon = actions.normalise.horizon
        self._sources = tuple(sources)
        for frames in sources:
            planned = frames.plans.shape[1]
            if not len(frames) or 0 < planned < self._horizon:
                raise TaktError(
                    f"expected frames with plans of at least {self._horizon} actions, got "
                    f"{len(frames)} frames with plans of {planned}; record them anew"
                )
        self.action_mask = torch.from_numpy(actions.normalise.mask)[None]
        self._spec = spec
        self._processor = processor
        self._actions = actions
        self._states = states
        self._point_mirror = list(point_mirror)

    @classmethod
    def of(
        cls,
        checkpoint: Checkpoint,
        spec: EmbodimentSpec,
        sources: Sequence[Frames],
        point_mirror: Sequence[int] = (),
    ) -> "Batcher":
        """Batches as the checkpoint knows the body."""
        config, body = checkpoint.model.config, checkpoint.body(spec.name)
        return cls(
            sources,
            spec,
            XR0Processor(config, checkpoint.tokenizer, [camera.view for camera in spec.cameras]),
            ActionTransform.of(spec, body.action),
            StateTransform(Slots(spec.state_slots, config.state_dim), body.state),
            point_mirror,
        )

    def draw(self, size: int, generator: torch.Generator, shard: Shard = WHOLE) -> Batch:
        """`size` frames at random; half of them mirrored if the body has a mirror symmetry.

        All are drawn, and those of `shard` read.
        """
        rows, count = [], len(self._sources)
        for k, frames in enumerate(self._sources):
            share = size // count + (k < size % count)
            rows.append(torch.randint(len(frames), (share,), generator=generator).numpy())
        flips = torch.rand(size, generator=generator).numpy() < 0.5
        mine = shard.rows(size)
        source = np.repeat(np.arange(count), [len(x) for x in rows])[mine]
        row = np.concatenate(rows)[mine]
        parts = [self._sources[k].take(row[source == k], self._horizon) for k in np.unique(source)]
        mirrored = flips[mine] & (self._spec.mirror is not None)
        return replace(self.batch(Samples.join(parts), mirrored), shard=shard)

    def batch(self, samples: Samples, mirrored: np.ndarray) -> Batch:
        """The given frames; `mirrored` (B,) boolean."""
        views = [
            samples.images[:, view, :height, :width]
            for view, (height, width) in enumerate(self._sources[0].sizes.tolist())
        ]
        if self._spec.mirror is not None and mirrored.any():
            samples = self._mirror(samples, mirrored)
            flip, cameras = mirrored[:, None, None, None], self._spec.mirror.cameras
            views = [
                np.where(flip, views[other][:, :, ::-1], view)
                for view, other in zip(views, cameras, strict=True)
            ]
        prompts = [text or self._spec.instruction for text in samples.instructions.tolist()]
        chunk = self._actions.forward(samples.actions, samples.state)
        return Batch(
            inputs=self._processor([np.ascontiguousarray(view) for view in views], prompts),
            state=torch.from_numpy(self._states.forward(samples.state))[:, None],
            actions=torch.from_numpy(chunk),
            valid=torch.from_numpy(samples.valid),
            points=torch.from_numpy(samples.points),
            action_mask=self.action_mask,
        )

    def _mirror(self, samples: Samples, mirrored: np.ndarray) -> Samples:
        """All but the images."""
        mirror = self._spec.mirror
        assert mirror is not None
        axes, signs = list(mirror.axes), np.array(mirror.signs, np.float32)
        state, actions, points = (
            x.copy() for x in (samples.state, samples.actions, samples.points)
        )
        state[mirrored] = state[mirrored][:, axes] * signs
        actions[mirrored] = actions[mirrored][:, :, axes] * signs
        points[mirrored] = points[mirrored][:, self._point_mirror] * [-1, 1]
        return replace(samples, state=state, actions=actions, points=points)
