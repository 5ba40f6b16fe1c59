"""What came of labelling, in numbers."""

from dataclasses import asdict, dataclass
from typing import Literal

Task = Literal["grounding", "captioning", "vqa", "embodied_qa", "planning", "trajectory"]
"""What a row teaches (paper section 2.1; the last three are its embodied reasoning)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Frames looked at, rows by task, and what was kept and dropped on the way.

    A phrase is dropped where there is no consensus on any box of it; `boxes_dropped` had none
    beside a kept one. `names_dropped` are the VLM's that no detector can look for,
    `answers_dropped` its texts that could not be used, such as unfinished ones.
    """

    frames: int = 0
    grounding: int = 0
    captioning: int = 0
    vqa: int = 0
    embodied_qa: int = 0
    planning: int = 0
    trajectory: int = 0
    phrases_kept: int = 0
    phrases_dropped: int = 0
    boxes_dropped: int = 0
    names_dropped: int = 0
    answers_dropped: int = 0

    @property
    def rows(self) -> int:
        """Of all tasks."""
        return (
            self.grounding
            + self.captioning
            + self.vqa
            + self.embodied_qa
            + self.planning
            + self.trajectory
        )

    def __add__(self, other: "Tally") -> "Tally":
        """Both together."""
        theirs = asdict(other)
        return Tally(**{name: count + theirs[name] for name, count in asdict(self).items()})
