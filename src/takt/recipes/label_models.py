"""The models that label, by the folders they lie in."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from takt.datasets.labelling.config import LabelConfig
from takt.datasets.labelling.models import Models
from takt.extras import require_extra
from takt.types import TaktError

if TYPE_CHECKING:
    from takt.transforms.detections import Detector


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolders:
    """Detectors vote in the order: `detectors`, then SAM 2 on the boxes of the first of them."""

    detectors: tuple[Path, ...] = ()
    """Folders of Grounding DINO, MM-Grounding-DINO or LLMDet checkpoints."""
    sam2: Path | None = None
    """Folder of a SAM 2 checkpoint: the box of its mask in the first detector's box is one more
    vote."""
    vlm: Path | None = None
    """Folder of a checkpoint that writes captions, questions, answers and plans: stock Qwen3-VL,
    or one that `takt chat` takes."""
    max_tokens: int = 256
    """Longest text of the VLM, in tokens."""
    device: str | None = None
    """Where models run, as torch names it; by default the GPU if there is one."""

    def __post_init__(self) -> None:
        """SAM 2 needs boxes to look into."""
        if self.sam2 is not None and not self.detectors:
            raise TaktError("expected --detectors beside --sam2, whose boxes it looks into")

    def require_use(self, config: LabelConfig) -> None:
        """Raise unless the models can do what is asked."""
        voters = len(self.detectors) + (self.sam2 is not None)
        if 0 < voters < config.votes:
            raise TaktError(
                f"expected at least {config.votes} detectors for --votes {config.votes}, got "
                f"{voters} (SAM 2 is one); name more --detectors, or lower --votes"
            )
        if voters and not config.phrases and self.vlm is None:
            raise TaktError("expected --phrases to look for, or a --vlm that names what it sees")
        if config.phrases and not voters:
            raise TaktError("expected --detectors that look for the --phrases, got none")

    def facts(self) -> Mapping[str, object]:
        """Folders and the length of texts; the device changes nothing but rounding."""
        return {
            "detectors": [str(path.resolve()) for path in self.detectors],
            "sam2": self.sam2 and str(self.sam2.resolve()),
            "vlm": self.vlm and str(self.vlm.resolve()),
            "max_tokens": self.max_tokens,
        }

    def load(self, config: LabelConfig) -> Models:
        """Load them all into this process.

        Raises:
            TaktError: a folder lacks a file, or holds another kind of model.
        """
        if not self.detectors and self.vlm is None:
            return Models()
        require_extra("train", "takt data label with models")
        from takt.policies.labelling.describer import load_describer
        from takt.policies.labelling.folder import fastest_device
        from takt.policies.labelling.grounding_dino import GroundingDino
        from takt.policies.labelling.sam2 import GroundedSam, Remembered

        device = self.device or fastest_device()
        voters: list[Detector] = [
            Remembered(GroundingDino.load(folder, config.score, device))
            for folder in self.detectors
        ]
        if self.sam2 is not None:
            voters.append(GroundedSam.load(voters[0], self.sam2, device))
        describer = self.vlm and load_describer(self.vlm, self.max_tokens, device)
        return Models(tuple(voters), describer)
