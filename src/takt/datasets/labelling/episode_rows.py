"""One episode as rows of a vision-language set."""

from collections.abc import Sequence

import numpy as np

from takt.datasets.labelling import described
from takt.datasets.labelling.axes import Axes
from takt.datasets.labelling.config import LabelConfig
from takt.datasets.labelling.consensus import Agreed, ground
from takt.datasets.labelling.embodied_questions import EmbodiedQuestions, StateRange
from takt.datasets.labelling.frames import Frames
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
        frames: Frames,
        index: int,
        ranges: StateRange,
        axes: Axes,
        models: Models,
        config: LabelConfig,
    ) -> None:
        self._episode, self._frames, self._index = episode, frames, index
        self._models, self._config = models, config
        self._questions = EmbodiedQuestions(episode, axes, ranges, config)
        self._rng = np.random.default_rng((config.seed, index))
        self._rows: list[Row] = []
        self._tally = Tally()

    def make(self) -> tuple[list[Row], Tally]:
        """All rows, and how many of what."""
        for tick in self._frames.ticks():
            self._tally += Tally(frames=1)
            self._look(tick)
            for camera in self._frames.cameras:
                self._ground(tick, camera)
                self._describe(tick, camera)
        return self._rows, self._tally

    def _look(self, tick: int) -> None:
        """What the trajectory itself tells."""
        self._add(tick, "embodied_qa", self._frames.cameras, self._questions.at(tick))
        turns = point_turns(self._episode, tick, self._config)
        self._add(tick, "trajectory", (self._frames.points_camera,), turns)
        told, describer = self._questions.plan(tick), self._models.describer
        if told is None and tick == 0 and describer and self._episode.instruction.strip():
            images = [self._frames.at(tick, camera) for camera in self._frames.cameras]
            told = self._used(described.plan(describer, images, self._episode.instruction.strip()))
        self._add(tick, "planning", self._frames.cameras, [told])

    def _ground(self, tick: int, camera: str) -> None:
        detectors, config = self._models.detectors, self._config
        if not detectors:
            return
        image = self._frames.at(tick, camera)
        phrases = config.phrases or self._names(image)
        if not phrases:
            return
        turns: list[Turn | None] = []
        segmenter = self._models.segmenter
        found = ground(image, phrases, detectors, segmenter, config.votes, config.overlap)
        for phrase, agreed in zip(phrases, found, strict=True):
            kept = len(agreed.boxes) > 0
            self._tally += Tally(
                phrases_kept=int(kept),
                phrases_dropped=int(not kept),
                boxes_dropped=agreed.left_out * kept,
            )
            if kept:
                turns.append(_located(phrase, agreed, (image.shape[0], image.shape[1])))
        self._add(tick, "grounding", (camera,), turns)

    def _names(self, image: np.ndarray) -> tuple[str, ...]:
        """Of things that the VLM sees and every detector can look for."""
        if self._models.describer is None:
            return ()
        listed = described.names(self._models.describer, image)
        if listed is None:
            self._tally += Tally(answers_dropped=1)
            return ()
        usable = tuple(
            name
            for name in listed
            if described.is_name(name)
            and not any(mark in name for mark in _MARKS)
            and all(detector.reads(name) for detector in self._models.detectors)
        )
        self._tally += Tally(names_dropped=len(listed) - len(usable))
        return usable

    def _describe(self, tick: int, camera: str) -> None:
        describer = self._models.describer
        if describer is None:
            return
        image = self._frames.at(tick, camera)
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
            images=tuple(encode_image(self._frames.at(tick, camera)) for camera in cameras),
            turns=tuple(asked[k] for k in self._rng.permutation(len(asked))),
            task=task,
        )
        self._rows.append(row)
        self._tally += Tally(**{task: 1})


def _located(phrase: str, agreed: Agreed, size: tuple[int, int]) -> Turn:
    """All boxes only where none was left out, which may have been one more of these things."""
    if agreed.left_out:
        text = boxes_text(agreed.boxes[:1], phrase, size)
        return Turn(f"Locate one {phrase} in this image, as JSON.", text)
    text = boxes_text(agreed.boxes, phrase, size)
    return Turn(f"Locate every {phrase} in this image, as JSON.", text)
