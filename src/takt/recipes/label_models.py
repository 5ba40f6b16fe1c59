"""The models that label, by the folders they lie in."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from takt.datasets.labelling.config import LabelConfig
from takt.datasets.labelling.models import Models
from takt.extras import require_extra
from takt.recipes.fingerprints import model_fingerprint
from takt.types import TaktError


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolders:
    """Detectors vote; SAM 2 refuses or tightens what they agree on, and has no vote."""

    detectors: tuple[Path, ...] = ()
    """Folders of different Grounding DINO, MM-Grounding-DINO or LLMDet checkpoints."""
    sam2: Path | None = None
    """Folder of a SAM 2 checkpoint: a box that detectors agree on becomes that of the mask in it,
    and is dropped where the two differ."""
    vlm: Path | None = None
    """Folder of a checkpoint that writes captions, questions, answers and plans: stock Qwen3-VL,
    or one that `takt chat` takes."""
    max_tokens: int = 256
    """Longest text of the VLM, in tokens."""
    device: str | None = None
    """Where models run, as torch names it; by default the GPU if there is one."""

    def __post_init__(self) -> None:
        """Detectors have one vote each; SAM 2 needs boxes to look into."""
        if len({path.resolve() for path in self.detectors}) < len(self.detectors):
            raise TaktError("expected different --detectors, got one twice; name each once")
        if self.sam2 is not None and not self.detectors:
            raise TaktError("expected --detectors beside --sam2, whose boxes it looks into")

    def require_use(self, config: LabelConfig) -> None:
        """Raise unless the models can do what is asked."""
        voters = len(self.detectors)
        if 0 < voters < config.votes:
            raise TaktError(
                f"expected at least {config.votes} detectors for --votes {config.votes}, got "
                f"{voters} (SAM 2 has no vote); name more --detectors, or lower --votes"
            )
        if voters and not config.phrases and self.vlm is None:
            raise TaktError("expected --phrases to look for, or a --vlm that names what it sees")
        if config.phrases and not voters:
            raise TaktError("expected --detectors that look for the --phrases, got none")

    def facts(self) -> Mapping[str, object]:
        """Folders, fingerprints and the length of texts; the device changes only rounding.

        Raises:
            TaktError: a folder holds no model.
        """
        folders = {"sam2": self.sam2, "vlm": self.vlm}
        folders |= {f"detector {number}": path for number, path in enumerate(self.detectors)}
        named = {name: path.resolve() for name, path in folders.items() if path is not None}
        return {
            **{name: f"{path} ({model_fingerprint(path)})" for name, path in named.items()},
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
        from takt.policies.common.device import fastest_device
        from takt.policies.labelling.describer import load_describer
        from takt.policies.labelling.grounding_dino import GroundingDino
        from takt.policies.labelling.sam2 import Sam2

        device = self.device or fastest_device()
        return Models(
            detectors=tuple(
                GroundingDino.load(folder, config.score, device) for folder in self.detectors
            ),
            segmenter=self.sam2 and Sam2.load(self.sam2, device),
            describer=self.vlm and load_describer(self.vlm, self.max_tokens, device),
        )
