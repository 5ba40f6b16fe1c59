"""Vision-language data from robot data: where the things are that a recording names."""

from collections.abc import Sequence

import numpy as np

from takt.training.frames import Frames
from takt.transforms.image_points import point_text
from takt.types import Conversation, TaktError, Turn

UNSEEN = "not in view"


class FrameQuestions:
    """Asks of a random frame's first view where each named point is, in random order."""

    def __init__(self, sources: Sequence[Frames], names: Sequence[str]) -> None:
        """`names` are of the first points of `Frames.points`, those of the first view.

        Raises:
            TaktError: there are fewer points than names.
        """
        fewest = min(frames.points.shape[1] for frames in sources)
        if fewest < len(names):
            raise TaktError(
                f"expected a point for each of {', '.join(names)}, got {fewest}; "
                "record the data again, or name fewer"
            )
        self._sources, self._names = tuple(sources), tuple(names)

    def __call__(self, rng: np.random.Generator) -> Conversation:
        """One frame, one turn for each name; datasets are drawn equally often."""
        frames = self._sources[rng.integers(len(self._sources))]
        row = int(rng.integers(len(frames)))
        height, width = frames.sizes[0].tolist()
        turns = [
            Turn(f"Where is the {name}?", self._answer(frames.points[row, number]))
            for number, name in enumerate(self._names)
        ]
        order = rng.permutation(len(turns))
        image = np.ascontiguousarray(frames.images[np.array([row])][0, 0, :height, :width])
        return Conversation(images=(image,), turns=tuple(turns[i] for i in order))

    def _answer(self, point: np.ndarray) -> str:
        """`point` (x, y) in [-1, 1], outside where it is out of view; one behind a thing is not."""
        if np.abs(point).max() > 1:
            return UNSEEN
        x, y = ((point + 1) / 2).tolist()
        return point_text((x, y))
