"""The images of `Frames` that are too many to lie there decoded."""

from dataclasses import dataclass

import numpy as np

from takt.datasets.frame_shards import FrameShards


@dataclass(frozen=True, slots=True)
class ShardedImages:
    """Reads like an array (N, V, height, width, 3) whose rows are asked for by number."""

    shards: FrameShards

    def __len__(self) -> int:
        """N."""
        return len(self.shards)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """The images of `rows` (B,), each view in the top left corner of the largest one's size."""
        views = self.shards.take(rows)
        height = max(view.shape[1] for view in views.values())
        width = max(view.shape[2] for view in views.values())
        canvas = np.zeros((len(rows), len(views), height, width, 3), np.uint8)
        for number, view in enumerate(views.values()):
            canvas[:, number, : view.shape[1], : view.shape[2]] = view
        return canvas
