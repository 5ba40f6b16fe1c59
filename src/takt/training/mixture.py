"""Where a stage's batches come from: several bodies' data, with conversations beside them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from takt.training.batches import Batch, Batcher
from takt.training.frames import Frames
from takt.training.shards import WHOLE, Shard
from takt.training.stage import Source
from takt.training.vision_language import Conversations
from takt.types import EmbodimentSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class RobotFrames:
    """One body's frames, from datasets that are drawn equally often, and their share of batches.

    Without a `weight` every frame of a mixture is drawn equally often.
    """

    spec: EmbodimentSpec
    frames: Sequence[Frames]
    weight: float | None = None

    @property
    def share(self) -> float:
        """Before all shares are made to sum to 1."""
        return float(sum(map(len, self.frames))) if self.weight is None else self.weight


class Mixture:
    """Batches of one body each, since bodies differ in cameras, columns and what they can do.

    Which body's is drawn with the batch, so that ranks agree and a resumed run sees the same.
    """

    def __init__(self, batchers: Sequence[Batcher], shares: Sequence[float]) -> None:
        self._batchers, self._shares = tuple(batchers), torch.tensor(shares, dtype=torch.float64)

    def draw(self, size: int, generator: torch.Generator, shard: Shard = WHOLE) -> Batch:
        """`size` frames of one body."""
        chosen = int(torch.multinomial(self._shares, 1, generator=generator))
        return self._batchers[chosen].draw(size, generator, shard)


class CoTraining:
    """Robot batches with conversations beside them, one for `ratio` frames (paper: 1 : 6)."""

    def __init__(self, robots: Source[Batch], conversations: Conversations, ratio: int) -> None:
        self._robots, self._conversations, self._ratio = robots, conversations, ratio

    def draw(self, size: int, generator: torch.Generator, shard: Shard = WHOLE) -> Batch:
        """`size` frames and their conversations, at least one for each rank."""
        batch = self._robots.draw(size, generator, shard)
        count = conversations_beside(size, shard.count, self._ratio)
        return replace(batch, conversations=self._conversations.draw(count, generator, shard))


def conversations_beside(frames: int, ranks: int, ratio: int) -> int:
    """Conversations of a batch over all `ranks`: one for `ratio` frames, one a rank at least."""
    return max(ranks, frames // ratio)
