"""One episode as rows of a vision-language set."""

from collections.abc import Sequence

import numpy as np

from takt.datasets.labelling import described
from takt.datasets.labelling.axes import Axes
from takt.datasets.labelling.config import LabelConfig
from takt.datasets.labelling.consensus import ground
from takt.datasets.labelling.embodied_questions import EmbodiedQuestions, StateRange
from takt.datasets.labelling.models import Models
from takt.datasets.labelling.point_trajectories import point_turns
from takt.datasets.labelling.tally import Tally, Task
from takt.datasets.vision_language_row import IMAGE_TAG, Row
from takt.datasets.vision_language_writer import encode_image
from takt.transforms.qwen_coordinates import boxes_text
from takt.types import Episode, Turn

_MARKS = (IMAGE_TAG, "<|")


class EpisodeRows:
    """Makes the rows of one episode; `index` and the seed fix every draw.

    Turns of a row are asked in random order, so that none can be guessed from its place.
    """

    def __init__(
        self,
        episode: Episode,
        index: int,
        ranges: StateRange,
        axes: Axes,
        models: Models,
        config: LabelConfig,
    ) -> None:
        self._episode, self._index, self._models, self._config = episode, index, models, config
        self._cameras = config.cameras or tuple(episode.images)
        self._questions = EmbodiedQuestions(episode, axes, ranges, config)
        self._rng = np.random.default_rng((config.seed, index))
        self._rows: list[Row] = []
        self._tally = Tally()

    def make(self) -> tuple[list[Row], Tally]:
        """All rows, and how many of what."""
        stride = max(1, round(self._config.every_s * self._episode.rate_hz))
        for tick in range(0, len(self._episode.stamps), stride):
            self._tally += Tally(frames=1)
            self._look(tick)
            for camera in self._cameras:
                self._ground(tick, camera)
                self._describe(tick, camera)
        return self._rows, self._tally

    def _look(self, tick: int) -> None:
        """What the trajectory itself tells."""
        self._add(tick, "embodied_qa", self._cameras, self._questions.at(tick))
        turns = point_turns(self._episode, tick, self._config)
        self._add(tick, "trajectory", tuple(self._episode.images)[:1], turns)
        told, describer = self._questions.plan(tick), self._models.describer
        if told is None and tick == 0 and describer and self._episode.instruction.strip():
            images = [self._image(tick, camera) for camera in self._cameras]
            told = self._used(described.plan(describer, images, self._episode.instruction.strip()))
        self._add(tick, "planning", self._cameras, [told])

    def _ground(self, tick: int, camera: str) -> None:
        detectors, config = self._models.detectors, self._config
        if not detectors:
            return
        image, phrases = self._image(tick, camera), list(config.phrases)
        if not phrases and self._models.describer:
            phrases = described.names(self._models.describer, image)
        if not phrases:
            return
        turns: list[Turn | None] = []
        for phrase, agreed in zip(
            phrases, ground(image, phrases, detectors, config.votes, config.overlap), strict=True
        ):
            kept = len(agreed.boxes) > 0
            self._tally += Tally(
                phrases_kept=int(kept),
                phrases_dropped=int(not kept),
                boxes_dropped=agreed.left_out * kept,
            )
            if kept:
                text = boxes_text(agreed.boxes, phrase, (image.shape[0], image.shape[1]))
                turns.append(Turn(f"Locate every {phrase} in this image, as JSON.", text))
        self._add(tick, "grounding", (camera,), turns)

    def _describe(self, tick: int, camera: str) -> None:
        describer = self._models.describer
        if describer is None:
            return
        image = self._image(tick, camera)
        told = self._used(described.caption(describer, image))
        self._add(tick, "captioning", (camera,), [told])
        asked = described.visual_questions(describer, image, self._config.vqa, self._rng)
        self._add(tick, "vqa", (camera,), [self._used(turn) for turn in asked])

    def _used(self, turn: Turn | None) -> Turn | None:
        """A model's turn, unless it has none, or words that stand for images and turns."""
        if turn is None or any(mark in turn.question + turn.answer for mark in _MARKS):
            self._tally += Tally(answers_dropped=1)
            return None
        return turn

    def _add(
        self, tick: int, task: Task, cameras: Sequence[str], turns: Sequence[Turn | None]
    ) -> None:
        """A row, if there is something to ask."""
        asked = [turn for turn in turns if turn is not None]
        if not asked:
            return
        where = f"/{cameras[0]}" if len(cameras) == 1 else ""
        row = Row(
            id=f"episode-{self._index:06d}/frame-{tick:06d}/{task}{where}",
            images=tuple(encode_image(self._image(tick, camera)) for camera in cameras),
            turns=tuple(asked[k] for k in self._rng.permutation(len(asked))),
            task=task,
        )
        self._rows.append(row)
        self._tally += Tally(**{task: 1})

    def _image(self, tick: int, camera: str) -> np.ndarray:
        return self._episode.images[camera][tick]
